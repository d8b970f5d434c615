"""The streams of one thread, which computes a reply of each in turn."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

from ...contract.methods import Handler, Method
from .jobs import NO_REPLY, StreamJob
from .outcomes import Abandoned, Failure
from .runners import Observe, Works


class StreamTurns:
    """Computes streams by turns, so that none holds up the others. All of this runs in one thread.

    `handler_of` gives the model's function for a method. `works` has each step while it is computed. `send` is called
    when a stream has got what a step came to.
    """

    def __init__(
        self,
        handler_of: Callable[[Method], Handler],
        works: Works,
        observe: Observe,
        send: Callable[[], object],
    ) -> None:
        self.ended_count = 0
        """How many streams have ended. For every thread to read."""
        self._handler_of, self._works, self._observe, self._send = handler_of, works, observe, send
        self._streams: list[StreamJob] = []

    def add(self, stream: StreamJob) -> None:
        self._streams.append(stream)

    def take(self) -> bool:
        """Computes one reply of every stream that has room for it; False if there was nothing to do."""
        streams = [stream for stream in self._streams if stream.needs_a_turn()]
        for stream in streams:
            self._advance(stream)
        return bool(streams)

    def _advance(self, stream: StreamJob) -> None:
        """Computes the next reply of a stream; ends it after its last, when it fails and when it is abandoned."""
        self._works.begin(stream)
        is_over, failure = self._step(stream)
        if is_over:
            failure = _close(stream) or failure
            self._streams.remove(stream)
            self._observe(stream.method, failure)
            stream.on_end(failure)
            self.ended_count += 1
        self._works.end(stream)
        self._send()

    def _step(self, stream: StreamJob) -> tuple[bool, Failure | None]:
        """Sends the next reply of a stream; returns whether it is over, and then why it failed, if it did."""
        try:
            if stream.is_abandoned():
                raise Abandoned()
            if stream.replies is None:
                stream.replies = _iterator(self._handler_of(stream.method)(stream.request))
            reply = next(stream.replies, NO_REPLY)
            if reply is NO_REPLY:
                return True, None
            stream.give(stream.method.encode(reply))
            return False, None
        except BaseException as error:  # SystemExit too: whatever a model raises concerns its request alone
            return True, stream.failure(error)


def _iterator(replies: Any) -> Iterator[object]:
    """Raises TypeError if the model has returned something else."""
    if isinstance(replies, AsyncIterator | Awaitable):
        kind = "an async iterator" if isinstance(replies, AsyncIterator) else "a coroutine"
        text = f"a method that streams returned {kind}: write it as `async def` with `yield`, or return an iterator"
        raise TypeError(text)
    return iter(replies)


def _close(stream: StreamJob) -> Failure | None:
    """Has the `finally` blocks of the model's generator run now, not some day; returns what went wrong in them."""
    try:
        if isinstance(stream.replies, Generator):
            stream.replies.close()
    except BaseException as error:
        return stream.failure(error)
    return None
