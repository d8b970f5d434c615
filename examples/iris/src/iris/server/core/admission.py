"""Whether a call is taken, and how much is in progress."""

from collections.abc import Iterator
from contextlib import contextmanager

from .outcomes import Failure, Outcome
from .state import ServerState, State

# States in which no call is taken, and what its caller gets to read.
REFUSALS = {
    State.LOADING: "the model is still loading",
    State.READY: "the model is still loading",
    State.DRAINING: "the server is stopping",
    State.STOPPED: "the server is stopping",
    State.BROKEN: "the server is stopping",
}


class Admission:
    """Takes or refuses calls, and counts what is in flight.

    `open_calls` counts calls that were taken and have not ended; a stop waits for them. `held_requests` counts those
    that the model's thread holds, including abandoned ones, so that they cannot pile up behind a slow one.
    """

    def __init__(self, state: ServerState, max_in_flight: int) -> None:
        self.open_calls = 0
        self.held_requests = 0
        self._state, self._max_in_flight = state, max_in_flight

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a call until its end; raises Failure if it is refused."""
        refusal = REFUSALS.get(self._state.current)
        if refusal is not None:
            raise Failure(Outcome.UNAVAILABLE, refusal)
        in_flight = max(self.open_calls, self.held_requests)
        if in_flight >= self._max_in_flight:
            raise Failure(Outcome.RESOURCE_EXHAUSTED, f"{in_flight} requests are in flight already")
        self.open_calls += 1
        try:
            yield
        finally:
            self.open_calls -= 1
