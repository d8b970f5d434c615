"""When a caller that leaves its replies unread has waited too long, whatever the transport."""

from ..core.outcomes import Failure, Outcome

SOMETHING_BYTES = 2**10  # that a connection must take to have taken something: answers to pings are less
SLOWEST_BYTES_PER_SECOND = 2**14  # of a stream on a connection that takes something: 128 kbit/s
LOOK_SECONDS = 1.0  # between two looks at all connections, at most
CLOSING_PERIODS = 2  # of STREAM_IDLE_SECONDS: in the second one a caller can still read how its stream ended


def took_nothing(seconds: float) -> Failure:
    """How the stream of such a caller ends."""
    return Failure(
        Outcome.RESOURCE_EXHAUSTED, f"the caller took nothing for {seconds:.0f} seconds (STREAM_IDLE_SECONDS)"
    )
