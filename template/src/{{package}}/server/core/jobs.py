"""Requests on their way through the model, whose threads call their `on_...` functions: these must return at once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...contract.methods import Method
from .outcomes import Failure, classify, failure_of

RUN_AHEAD = 16  # replies of a stream that may wait for a slow client
RUN_AHEAD_BYTES = 2**18  # of them; one may be larger
SENT_TOGETHER = 2**16  # bytes of replies, at most and one more: large ones must not wait for each other in memory
NO_REPLY = object()  # in place of a reply, after a stream's last


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """A decoded request. `deadline` is a time of `time.monotonic`; whoever gives the request up sets `cancelled`.

    A probe is a request of the server's own, for evidence. It is computed alone, and whoever asks logs its failure.
    """

    method: Method
    request: object
    request_id: str
    deadline: float
    is_probe: bool = False
    cancelled: bool = False

    def is_abandoned(self) -> bool:
        """Whether nobody waits for a reply any more."""
        return self.cancelled or time.monotonic() > self.deadline

    def failure(self, error: BaseException) -> Failure:
        return classify(error) if self.is_probe else failure_of(error, self.method.label, self.request_id)


@dataclass(slots=True, eq=False, kw_only=True)
class UnaryJob(Job):
    """A request with one reply. `on_result` is called once, with the reply's bytes or why there is none.

    `queued` is a time of `time.monotonic`.
    """

    on_result: Callable[[bytes | Failure], object]
    queued: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False, kw_only=True)
class StreamJob(Job):
    """A request with a stream of replies: `on_reply` gets the bytes of each, then `on_end` why it failed, or None.

    `replies` is the model's iterator once there is one, `computed` counts its replies and `computed_bytes` their bytes.
    Whoever sends them to the client counts them in `sent` and `sent_bytes`. `thread` is the number of the thread that
    computes them, if there are several.
    """

    on_reply: Callable[[bytes], object]
    on_end: Callable[[Failure | None], object]
    replies: Iterator[object] | None = None
    computed: int = 0
    computed_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    thread: int = 0

    def give(self, data: bytes) -> None:
        """Sends a reply, as bytes."""
        self.on_reply(data)
        self.computed += 1
        self.computed_bytes += len(data)

    def needs_a_turn(self) -> bool:
        """Whether there is room for another reply, or the stream is to be ended."""
        replies, size = self.computed - self.sent, self.computed_bytes - self.sent_bytes
        return (replies < RUN_AHEAD and size < RUN_AHEAD_BYTES) or self.is_abandoned()
