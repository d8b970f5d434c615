"""Streams of replies, which wait while their callers have no room for another.

pygrpc-native takes one reply ahead of what the caller reads, and does not say when it has room again: a thread tries.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pygrpc_native import STREAM_FULL, STREAM_SENT

from ....contract.methods import Method
from ...core.calls import Call
from ...core.exchanges import StreamExchange
from ...core.outcomes import Failure
from .idle_readers import IdleReaders

if TYPE_CHECKING:
    from .front import Front

FIRST_WAIT_SECONDS = 0.00005  # between two tries, and twice as long after each that sends nothing
LAST_WAIT_SECONDS = 0.02


class StreamCall:
    """A call of a streaming method, until its status was sent or nobody waits for it.

    `waiting_since` is the time of `time.monotonic` since when the first of the replies that wait has waited.
    """

    __slots__ = (
        "_ending",
        "_front",
        "_is_over",
        "_lock",
        "_waiting",
        "call",
        "connection",
        "exchange",
        "id",
        "waiting_since",
    )

    def __init__(self, front: Front, call_id: int, call: Call, connection: str, method: Method, deadline: float):
        self._front, self.id, self.call, self.connection = front, call_id, call, connection
        self.exchange = StreamExchange(
            method=method,
            request_id=call.request_id,
            deadline=deadline,
            on_reply=self._take_reply,
            on_end=self._take_end,
        )
        self.waiting_since = 0.0
        self._waiting: deque[bytes] = deque()
        self._ending: tuple[Exception | None] | None = None  # after the replies that wait
        self._is_over = False
        self._lock = threading.Lock()

    @property
    def waiting_bytes(self) -> int:
        """The size of the reply that is to be sent next."""
        with self._lock:
            return len(self._waiting[0]) if self._waiting else 0

    def send_waiting(self) -> bool:
        """Sends what there is room for; returns whether that was anything."""
        with self._lock:
            is_any_sent = False
            while self._waiting and self._send(self._waiting[0]):
                self._waiting.popleft()
                is_any_sent, self.waiting_since = True, time.monotonic()
            if not self._waiting and self._ending is not None:
                self._finish(*self._ending)
            return is_any_sent

    @property
    def waits(self) -> bool:
        """Whether it has replies that wait to be sent, for somebody."""
        return bool(self._waiting) and not self._is_over

    def give_up(self, failure: Failure) -> None:
        """Ends the stream, whose caller takes nothing."""
        with self._lock:
            self._waiting.clear()
            self._front.exchanges.cancel(self.exchange)
            self._finish(failure)

    def cancel(self) -> None:
        """Nobody waits for replies any more."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._waiting.clear()
                self._front.exchanges.cancel(self.exchange)
                self._front.close(self)

    def _take_reply(self, data: bytes) -> None:
        """In the model's thread."""
        with self._lock:
            if self._waiting or not self._send(data):
                if not self._waiting:
                    self.waiting_since = time.monotonic()
                self._waiting.append(data)
                self._front.sender.add(self)

    def _take_end(self, error: Exception | None) -> None:
        """In the model's thread, for most: its replies may still wait."""
        with self._lock:
            if self._waiting:
                self._ending = (error,)
            else:
                self._finish(error)

    def _send(self, data: bytes) -> bool:
        """Sends a reply, if there is room for it. One that nobody takes any more counts as sent."""
        result = self._front.native.stream_try_send(self.id, data)
        if result == STREAM_FULL:
            return False
        if result == STREAM_SENT:
            self._front.exchanges.sent(self.exchange, len(data))
        return True

    def _finish(self, error: Exception | None) -> None:
        """Sends the status."""
        if self._is_over:
            return
        self._is_over = True
        if error is None:
            self._front.native.stream_end(self.id)
            self.call.succeeded()
        else:
            self._front.refuse(self.id, self.call, error)
        self._front.close(self)


class Sender(threading.Thread):
    """Sends the replies that wait, as their callers make room for them, and ends streams whose callers do not."""

    def __init__(self, idle_seconds: float) -> None:
        super().__init__(name="sending", daemon=True)
        self._idle_readers = IdleReaders(idle_seconds)
        self._streams: set[StreamCall] = set()
        self._changed = threading.Condition()

    def add(self, stream: StreamCall) -> None:
        """A stream that has replies which wait. Any thread may call this."""
        with self._changed:
            self._streams.add(stream)
            self._changed.notify()

    def run(self) -> None:
        seconds = FIRST_WAIT_SECONDS
        while True:
            with self._changed:
                if not self._streams:
                    self._changed.wait(self._idle_readers.seconds_to_next_look())
                streams = list(self._streams)
            is_any_sent = self._send(streams)
            self._idle_readers.look([stream for stream in streams if stream.waits])
            seconds = FIRST_WAIT_SECONDS if is_any_sent else min(2 * seconds, LAST_WAIT_SECONDS)
            if streams:
                time.sleep(seconds)

    def _send(self, streams: Iterable[StreamCall]) -> bool:
        """Tries to send what waits; returns whether there was room for anything."""
        is_any_sent = False
        for stream in streams:
            is_any_sent |= stream.send_waiting()
            with self._changed:  # or one that is added again meanwhile would be lost
                if not stream.waits:
                    self._streams.discard(stream)
        return is_any_sent
