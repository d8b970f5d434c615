"""Callers who leave the replies of their streams unread: the streams end, and later the connection.

What a connection took is what its system has acknowledged (TCP). Outside of Linux that is not known, so there only the
time counts for which a reply has waited.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...logs import logger
from ..idle_rules import CLOSING_PERIODS, LOOK_SECONDS, SLOWEST_BYTES_PER_SECOND, SOMETHING_BYTES, took_nothing
from ..sockets import acknowledged_bytes, peer_of, shut_down

if TYPE_CHECKING:
    from .streams import StreamCall


class Reader:
    """A connection on which replies wait. Times are of `time.monotonic`."""

    def __init__(self, since: float) -> None:
        self.last_taken = since
        self._acknowledged: int | None = None

    def note(self, acknowledged: int | None, now: float) -> None:
        """Whether the client has taken something since it last did, by how many bytes it has acknowledged."""
        if acknowledged is None:
            return
        if self._acknowledged is None or acknowledged - self._acknowledged >= SOMETHING_BYTES:
            if self._acknowledged is not None:
                self.last_taken = now
            self._acknowledged = acknowledged


class IdleReaders:
    """The connections that take nothing, by their names. Used by one thread."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._look_seconds = min(LOOK_SECONDS, idle_seconds / 4)
        self._next_look = 0.0
        self._readers: dict[str, Reader] = {}

    def seconds_to_next_look(self) -> float | None:
        """None if there is nothing to look at."""
        return max(0.0, self._next_look - time.monotonic()) if self._readers else None

    def look(self, waiting: Sequence[StreamCall]) -> None:
        """Ends what was left unread for too long, if it is time for another look at it."""
        now = time.monotonic()
        if now < self._next_look or not (waiting or self._readers):
            return
        self._next_look = now + self._look_seconds
        streams: dict[str, list[StreamCall]] = {}
        for stream in waiting:
            streams.setdefault(stream.connection, []).append(stream)
        for name, its_streams in streams.items():
            if name not in self._readers:
                self._readers[name] = Reader(min(stream.waiting_since for stream in its_streams))
        acknowledged = acknowledged_bytes({peer_of(name) for name in self._readers})
        for name, reader in list(self._readers.items()):
            before = reader.last_taken
            reader.note(acknowledged.get(peer_of(name)), now)
            if name not in streams and reader.last_taken > before:
                del self._readers[name]  # it has read what waited
            else:
                self._judge(name, reader, streams.get(name, []), now)

    def _judge(self, name: str, reader: Reader, streams: Sequence[StreamCall], now: float) -> None:
        """Ends streams of a connection, or the connection."""
        is_idle = now - reader.last_taken > self._idle_seconds
        for stream in streams:
            seconds = now - stream.waiting_since
            if is_idle or seconds > self._idle_seconds + stream.waiting_bytes / SLOWEST_BYTES_PER_SECOND:
                stream.give_up(took_nothing(seconds))
        if now - reader.last_taken > CLOSING_PERIODS * self._idle_seconds:
            logger.warning("closed the connection of %s: it took nothing (STREAM_IDLE_SECONDS)", name)
            shut_down({peer_of(name)})
            del self._readers[name]
