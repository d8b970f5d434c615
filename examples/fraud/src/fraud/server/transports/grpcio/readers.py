"""What callers have not taken yet: no caller may keep others out, or fill the memory, by not reading.

Of a caller that does not read, gRPC keeps the replies as long as the connection lasts, as HTTP/2 allows
(https://httpwg.org/specs/rfc9113.html#FlowControl). So one connection can have only a part of the calls in flight; its
streams end when it has taken nothing for STREAM_IDLE_SECONDS; and if it goes on like that, or when memory is needed, it
is closed, which alone gives the memory back.
"""

import asyncio
import time
from collections.abc import Sequence

import grpc

from ...core.connections import ConnectionLimit
from ...core.outcomes import Failure, Outcome
from ...heap import give_back
from ...logs import logger
from ...settings import Settings
from ..idle_rules import CLOSING_PERIODS, LOOK_SECONDS, SLOWEST_BYTES_PER_SECOND, SOMETHING_BYTES, took_nothing
from ..sockets import Peer, acknowledged_bytes, peer_of, shut_down

Context = grpc.aio.ServicerContext[bytes, bytes]

CALL_BYTES = 2**14  # of memory for a call, beside its reply
COPIES = 2  # of a reply: gRPC has one of its own


class Connection:
    """One connection of a client, which may have many calls at a time. `last_taken` is a time of `time.monotonic`."""

    __slots__ = ("_acknowledged", "calls", "last_taken", "name", "reason_to_close")

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: set[OpenCall] = set()
        self.last_taken = time.monotonic()
        self.reason_to_close = ""
        self._acknowledged: int | None = 0

    @property
    def peer(self) -> Peer:
        return peer_of(self.name)

    def unread_bytes(self, before: float) -> int:
        """The bytes that have waited to be taken since before that time."""
        return sum(call.unread_bytes for call in self.calls if call.since < before)

    def note(self, acknowledged: int | None, now: float) -> None:
        """Whether the client has taken something since it last did, by how many bytes it has acknowledged."""
        if acknowledged is None or self._acknowledged is None:
            self.last_taken = now  # for all that is known
        elif acknowledged - self._acknowledged < SOMETHING_BYTES:
            return
        else:
            self.last_taken = now
        self._acknowledged = acknowledged

    def idle_seconds(self, now: float) -> float:
        """For how long the client has taken nothing, although there was something all the time."""
        oldest = min((call.since for call in self.calls if call.unread_bytes), default=now)
        return now - max(self.last_taken, oldest)


class OpenCall:
    """A call of a connection, until gRPC has sent all of its replies and its status.

    `unread_bytes` were given to gRPC at `since`, a time of `time.monotonic`.
    """

    __slots__ = ("_connection", "_context", "_readers", "_timeout", "since", "unread_bytes")

    def __init__(self, readers: "Readers", connection: Connection, context: Context) -> None:
        self.unread_bytes, self.since = 0, 0.0
        self._readers, self._connection, self._context = readers, connection, context
        self._timeout: asyncio.Timeout | None = None

    async def write(self, reply: bytes) -> None:
        """Sends a reply of a stream, and returns when gRPC has room for another. Raises Failure if it is not taken."""
        self.hand_over(reply)
        try:
            async with asyncio.timeout(self._readers.patience(len(reply))) as self._timeout:
                await self._context.write(reply)
        except TimeoutError:
            raise took_nothing(time.monotonic() - self.since) from None
        except Exception as error:  # gRPC's own, which has no public name
            raise Failure(Outcome.CANCELLED, "the caller has gone") from error
        finally:
            self._timeout = None
        self.taken()

    def hand_over(self, reply: bytes) -> None:
        """Counts a reply that gRPC gets now, until it is taken. Raises Failure if too much waits to be taken."""
        size = COPIES * len(reply) + CALL_BYTES
        self._readers.make_room(size)
        self.unread_bytes, self.since = size, time.monotonic()

    def taken(self) -> None:
        """What the call had is sent."""
        self._readers.unread_bytes -= self.unread_bytes
        self.unread_bytes = 0
        self._connection.last_taken = time.monotonic()

    def end(self, _: object) -> None:
        """gRPC has sent all, or nobody waits for it."""
        self.taken()
        self._readers.close(self._connection, self)

    def give_up(self) -> None:
        """Ends the stream whose reply is not taken; a unary call has ended but for that."""
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())


class Readers:
    """All connections with open calls, and what they have not taken."""

    def __init__(self, settings: Settings) -> None:
        self.unread_bytes = 0
        self._idle_seconds, self._max_unread = settings.stream_idle_seconds, settings.max_unread_bytes
        self._look_seconds = min(LOOK_SECONDS, settings.stream_idle_seconds / 4)
        self._limit = ConnectionLimit(settings.max_in_flight_per_connection)
        self._connections: dict[str, Connection] = {}
        self._is_full = False  # since a reply found no room

    def open(self, context: Context) -> OpenCall:
        """A new call, in whose task this runs. Raises Failure if its connection has too many already."""
        name = context.peer()
        self._limit.enter(name)
        connection = self._connections.get(name)
        if connection is None:
            connection = self._connections[name] = Connection(name)
        call = OpenCall(self, connection, context)
        connection.calls.add(call)
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(call.end)  # that of the context would keep every call until the garbage is collected
        return call

    def close(self, connection: Connection, call: OpenCall) -> None:
        """A call has ended; the connection is forgotten until it makes the next one."""
        self._limit.leave(connection.name)
        connection.calls.discard(call)
        if not connection.calls:
            self._connections.pop(connection.name, None)

    def patience(self, size: int) -> float:
        """The seconds in which a caller must take a reply of a stream, even if its connection takes others."""
        return self._idle_seconds + size / SLOWEST_BYTES_PER_SECOND

    def make_room(self, size: int) -> None:
        """Counts bytes that will wait to be taken. Raises Failure if they are too many."""
        if self.unread_bytes + size > self._max_unread:
            self._is_full = True
            text = f"replies that callers have not taken yet hold {self.unread_bytes} bytes (MAX_UNREAD_BYTES)"
            raise Failure(Outcome.RESOURCE_EXHAUSTED, text)
        self.unread_bytes += size

    async def watch(self) -> None:
        """Ends streams and closes connections that take nothing, until it is cancelled.

        Sockets are looked at in a thread: there may be thousands.
        """
        while True:
            await asyncio.sleep(self._look_seconds)
            before = time.monotonic() - self._look_seconds
            waiting = [each for each in self._connections.values() if each.unread_bytes(before)]
            if waiting:
                await self._look(waiting)
            closing = {each.peer: each for each in waiting if each.reason_to_close}
            if closing:
                for connection in closing.values():
                    logger.warning("closed the connection of %s: %s", connection.name, connection.reason_to_close)
                await asyncio.to_thread(shut_down, closing.keys())
                await asyncio.sleep(self._look_seconds)
                await asyncio.to_thread(give_back)

    async def _look(self, waiting: Sequence[Connection]) -> None:
        """Ends streams of these connections, and decides which of them to close."""
        acknowledged = await asyncio.to_thread(acknowledged_bytes, {each.peer for each in waiting})
        now = time.monotonic()
        for connection in waiting:
            connection.note(acknowledged.get(connection.peer), now)
            idle_seconds = connection.idle_seconds(now)
            if idle_seconds > CLOSING_PERIODS * self._idle_seconds:
                connection.reason_to_close = "it took nothing (STREAM_IDLE_SECONDS)"
            elif idle_seconds > self._idle_seconds:
                for call in connection.calls:
                    call.give_up()
        if self._is_full:
            self._is_full = False
            self._close_until_half_is_free(waiting, now)

    def _close_until_half_is_free(self, waiting: Sequence[Connection], now: float) -> None:
        """Chooses the connections that leave most waiting."""
        unread_bytes = {each: each.unread_bytes(now) for each in waiting}
        left = self.unread_bytes
        for connection in sorted(waiting, key=unread_bytes.__getitem__, reverse=True):
            if left <= self._max_unread // 2:
                return
            connection.reason_to_close = "too much waits to be taken (MAX_UNREAD_BYTES)"
            left -= unread_bytes[connection]
