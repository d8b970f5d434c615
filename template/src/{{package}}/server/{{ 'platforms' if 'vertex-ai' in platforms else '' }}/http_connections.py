"""HTTP connections: how many there may be, how long each may be silent, and what wrong bytes get."""

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web

from ..core.outcomes import MESSAGE_BYTES
from ..texts import escaped

READ_BYTES = 2**14  # at a time from each connection, so that one cannot keep the others waiting


class Connections:
    """The open connections, the one that was used longest ago first.

    Its call makes the protocol of a new one, as asyncio wants it.
    """

    def __init__(self, server: web.Server, *, most: int, idle_seconds: float, **options: object) -> None:
        self.idle_seconds = idle_seconds
        self._server, self._most, self._options = server, most, options
        self._open: dict[Connection, None] = {}

    def __call__(self) -> "Connection":
        return Connection(self, self._server, loop=asyncio.get_running_loop(), **self._options)

    def add(self, connection: "Connection") -> None:
        """A new one takes the place of the one that was idle longest, so that a probe of health always gets in."""
        if len(self._open) >= self._most:
            idle = next((each for each in self._open if not each.is_busy), connection)
            idle.abort()
            self.remove(idle)
        self._open[connection] = None

    def remove(self, connection: "Connection") -> None:
        self._open.pop(connection, None)

    def used(self, connection: "Connection") -> None:
        """The connection has been used just now."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None


class Connection(web.RequestHandler):
    """aiohttp's protocol, which waits no longer than `idle_seconds` for the head of a request, and for its caller to
    take an answer.

    https://docs.python.org/3/library/asyncio-protocol.html
    """

    __slots__ = ("_connections", "_for_head", "_for_taking", "_head_since", "is_busy", "received_bytes")

    def __init__(self, connections: Connections, server: web.Server, **options: object) -> None:
        super().__init__(server, **options)  # type: ignore[arg-type]
        self._connections = connections
        self._for_head: asyncio.TimerHandle | None = None
        self._head_since: float | None = self._loop.time()  # when a head began that is not complete yet
        self._for_taking: asyncio.TimerHandle | None = None
        self.is_busy = False
        self.received_bytes = 0  # since the last answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        with suppress(AttributeError):  # uvloop has its own size
            transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._connections.add(self)
        self._look_at_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in filter(None, (self._for_head, self._for_taking)):
            timer.cancel()
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._head_since is None and not self.is_busy:
            self._head_since = self._loop.time()
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._for_taking = self._abort_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._for_taking is not None:
            self._for_taking.cancel()

    def begin(self) -> None:
        """A request's head is here."""
        self._head_since = None
        self.is_busy = True
        self._connections.used(self)

    def end(self) -> None:
        """The request has its answer; nothing is expected until the next one begins."""
        self.is_busy = False
        self.received_bytes = 0

    def abort(self) -> None:
        """Closes the connection at once, without what it was still to send."""
        if self.transport is not None:
            self.transport.abort()

    def _look_at_head(self) -> None:
        """Closes the connection if a head takes too long. One timer for all of them, since most come at once."""
        now, seconds = self._loop.time(), self._connections.idle_seconds
        end = seconds + (now if self._head_since is None else self._head_since)
        if end <= now:
            self.abort()
        else:
            self._for_head = self._loop.call_at(end, self._look_at_head)

    def _abort_later(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._connections.idle_seconds, self.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to bytes that are not HTTP is for the caller to read, and nothing for the log."""
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        reason = (message or "").partition("\n")[0].rstrip(":")
        response = error_response(HTTPStatus.BAD_REQUEST, f"the request is not valid HTTP: {reason}")
        response.force_close()
        return response


def error_response(status: int, message: str) -> web.Response:
    """An error in the form of Google's APIs: https://google.aip.dev/193."""
    name = HTTPStatus(status).name
    return json_response(
        status, {"error": {"code": status, "status": name, "message": escaped(message, MESSAGE_BYTES)}}
    )


def json_response(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")
