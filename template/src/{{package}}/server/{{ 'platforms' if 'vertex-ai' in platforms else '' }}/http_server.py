"""HTTP's way to the core, for platforms that ask by JSON: one route for health, one for predictions.

It runs on the server's event loop, and handles no signals.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web

from ...contract import served
from ...contract.methods import MIB
from ...contract.violations import MAX_VIOLATIONS, InvalidRequest
from ..core.calls import Call, Calls, deadline_in
from ..core.outcomes import Abandoned, Failure, Outcome
from ..core.state import ServerState
from ..settings import Settings, parse_bytes, parse_count, parse_limit, parse_seconds, parse_text, setting
from ..texts import escaped
from .compression import CODINGS, TooLong, inflate
from .http_connections import Connection, Connections, error_response, json_response
from .instances import Codec, TooLarge, below

R = TypeVar("R")

LARGE_BODY = 2**13  # bytes of JSON, which take a few milliseconds; health should not wait for them
HUGE_BODY = 2**18  # bytes, of which one body at a time is read: many threads would keep health waiting
LARGE_COMPRESSED = 2**10  # bytes, which may become a thousand times as many
SENT_BYTES = 2**16  # of an answer at a time, which a caller must take before the next ones follow
ACCEPTED = 16  # new connections at a time, of WAITING that the system keeps: so none is pushed out before it can ask
WAITING = 1024
MAX_HEADERS = 64  # of a request, each of 8 KiB at most
QUEUED_TOGETHER = 2**12  # instances of a call, at least, which takes the event loop a few milliseconds
CLOSING_SECONDS = 0.1  # for connections that ask nothing: what was asked has its answer when the server stops
SHOWN_BYTES = 100  # of a header in an error
SHARED_HEADERS = ("Allow", "Accept-Encoding")  # of the errors of HTTP itself
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UNARY = [method for method in served.METHODS if not (method.streaming or method.retired)]  # the newest first
# As Google's APIs map them: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
STATUSES = {
    Outcome.CANCELLED: 499,  # which `HTTPStatus` does not know
    Outcome.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
    Outcome.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Outcome.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    Outcome.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Outcome.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Outcome.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Outcome.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Outcome.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Outcome.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    Outcome.ABORTED: HTTPStatus.CONFLICT,
    Outcome.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    Outcome.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    Outcome.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.DATA_LOSS: HTTPStatus.INTERNAL_SERVER_ERROR,
}
RETRIABLE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, kw_only=True)
class HttpSettings(Settings):
    """The server's settings, and those of HTTP."""

    predict_method: str | None = setting(
        None, parse_text, "Method that HTTP calls, a unary one.", "the first unary one"
    )
    http_max_bytes: int = setting(
        10_000_000, parse_bytes, "Most bytes in the body of an HTTP call; larger ones get 413."
    )
    http_max_instances: int = setting(100_000, parse_count, "Most instances in an HTTP call; more get 413.")
    http_max_held_bytes: int = setting(
        64 * MIB,
        parse_bytes,
        "Most bytes of bodies and answers that are held at a time; above it bodies of more than 64 KiB get 429.",
        "64 MiB, or HTTP_MAX_BYTES if that is more",
    )
    http_max_connections: int = setting(
        512, parse_count, "Most HTTP connections; a new one above it replaces the one that was idle longest."
    )
    http_idle_seconds: float = setting(
        20.0,
        parse_limit,
        "Seconds for the head of an HTTP call, the next part of its body, and a caller to take the next part of an "
        "answer; after that the connection is closed.",
    )
    http_timeout_seconds: float = setting(
        60.0, parse_seconds, "Seconds after which an HTTP call is given up, with 504."
    )

    def __post_init__(self) -> None:
        names = sorted({name for method in UNARY for name in method.names})
        if self.predict_method is not None and self.predict_method not in names:
            known = ", ".join(names) or "none"
            raise ValueError(f"PREDICT_METHOD must be a unary method ({known}); got {self.predict_method!r}")


class HeldBytes:
    """Bytes of bodies and answers that all calls hold together."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """For a call: a function that adds what it holds. Raises Failure for a large body that is too much."""
        own = 0

        def add(size: int) -> None:
            nonlocal own
            if own + size > SENT_BYTES and self._held + size > self._most:
                raise Failure(Outcome.RESOURCE_EXHAUSTED, "other calls hold too many bytes (HTTP_MAX_HELD_BYTES)")
            own += size
            self._held += size

        try:
            yield add
        finally:
            self._held -= own


class HttpServer:
    """The HTTP server. Its health is that of gRPC's `""`: 200 when it is SERVING, else 503."""

    def __init__(self, settings: HttpSettings, calls: Calls, state: ServerState) -> None:
        self._settings, self._calls, self._state = settings, calls, state
        self._method = next((each for each in UNARY if settings.predict_method in (None, *each.names)), None)
        self._codec = _codec(self._method, settings)
        self._held = HeldBytes(max(settings.http_max_held_bytes, settings.http_max_bytes))
        self._inflating = ThreadPoolExecutor(1, "inflating")
        self._large_bodies = ThreadPoolExecutor(4, "large-bodies")
        self._huge_bodies = ThreadPoolExecutor(1, "huge-bodies")
        self._app = web.Application(middlewares=[_errors_as_json])
        self._runner = web.AppRunner(self._app, handler_cancellation=True, shutdown_timeout=CLOSING_SECONDS)

    async def start(self, port: int, health_route: str, predict_route: str) -> int:
        """Listens where gRPC does, on IPv4; returns the port. Raises OSError."""
        self._app.router.add_get(health_route, self._health)
        self._app.router.add_post(predict_route, self._predict, expect_handler=_expect_later)
        await self._runner.setup()
        assert self._runner.server is not None
        connections = Connections(
            self._runner.server,
            most=self._settings.http_max_connections,
            idle_seconds=self._settings.http_idle_seconds,
            access_log=None,
            auto_decompress=False,
            max_headers=MAX_HEADERS,
        )
        host = self._settings.host.strip("[]")
        host = "0.0.0.0" if host == "::" else host
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(connections, host, port, reuse_port=False, backlog=ACCEPTED)
        for each in self._listener.sockets:
            with socket.socket(fileno=os.dup(each.fileno())) as same:
                same.listen(WAITING)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._listener.close()
        await self._runner.cleanup()
        for threads in (self._inflating, self._large_bodies, self._huge_bodies):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _health(self, _: web.Request) -> web.StreamResponse:
        if self._state.is_serving:
            return json_response(HTTPStatus.OK, {"status": "SERVING"})
        refusal = self._calls.admission.refusal()
        message = refusal.message if refusal else "the server is stopping"  # a lame duck still takes calls
        response = json_response(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "NOT_SERVING", "message": message})
        response.force_close()
        return response

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        """One call, from its body to the end of its answer."""
        name = self._method.label if self._method else "predict"
        with self._calls.start(name, _request_id(request), transport="HTTP") as call, self._held.share() as hold:
            try:
                body = await self._read(request, hold)
                with self._calls.admission:
                    predictions = await self._predictions(body, call.request_id)
                    with suppress(Failure):  # what is computed is sent; new bodies must wait for it
                        hold(len(predictions))
                    response = await self._answer(request, call, predictions)
                    call.succeeded()
                    return response
            except web.HTTPException as error:
                call.code = HTTPStatus(error.status).name
                raise
            except Exception as error:
                return await self._send(request, _refusal(call.failed(error)), call)

    async def _read(self, request: web.Request, hold: Callable[[int], None]) -> bytes:
        """The body of a call, inflated. Raises Failure, and the HTTPException for a body that is not read."""
        _check_content_type(request)
        coding = _coding(request)
        size, most = request.content_length or 0, self._settings.http_max_bytes
        if size > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=size)
        try:
            body = await self._receive(request, hold)
            if coding:
                threads = self._inflating if len(body) >= LARGE_COMPRESSED else None
                body = await _run(threads, inflate, body, coding, most)
                hold(len(body))
        except TimeoutError:
            text = "the body did not arrive within HTTP_TIMEOUT_SECONDS, or nothing more within HTTP_IDLE_SECONDS"
            raise web.HTTPRequestTimeout(text=text) from None
        except TooLong:
            raise web.HTTPRequestEntityTooLarge(max_size=most, text=f"more than {most} bytes are compressed") from None
        except (ConnectionError, web.RequestPayloadError, ValueError) as error:  # the caller has gone, or sent nonsense
            raise web.HTTPBadRequest(text=f"the body cannot be read: {error}") from None
        return body

    async def _receive(self, request: web.Request, hold: Callable[[int], None]) -> bytes:
        """The bytes of a body as they come. Raises TimeoutError, and HTTPException for too many of them."""
        if (expected := request.headers.get("Expect", "").lower()) == "100-continue":
            await request.writer.write(CONTINUE)
            request.writer.output_size = 0  # the answer has not begun
        elif expected:
            raise web.HTTPExpectationFailed(text="the only expectation that is met is 100-continue")
        settings, parts, size = self._settings, [], 0
        connection = _connection(request)
        now = asyncio.get_running_loop().time
        end = now() + settings.http_timeout_seconds
        async with asyncio.timeout_at(min(end, now() + settings.http_idle_seconds)) as limit:
            while part := await request.content.readany():
                parts.append(part)
                size += len(part)
                if size > settings.http_max_bytes:
                    raise web.HTTPRequestEntityTooLarge(max_size=settings.http_max_bytes, actual_size=size)
                if connection.received_bytes > SENT_BYTES + size * 1.5:
                    connection.abort()  # or it would go on sending for a while, and aiohttp reading
                    raise web.HTTPBadRequest(text="its chunks are too small")
                hold(len(part))
                if request.content.at_eof():
                    break
                limit.reschedule(min(end, now() + settings.http_idle_seconds))
        return b"".join(parts)

    async def _predictions(self, body: bytes, request_id: str) -> bytes:
        """The answer's body for a call's body. Raises Failure, InvalidRequest and HTTPException."""
        if self._method is None or self._codec is None:
            text = "all methods of this service stream, and HTTP has one answer: use gRPC"
            raise Failure(Outcome.UNIMPLEMENTED, text)
        seconds = self._settings.http_timeout_seconds
        deadline = deadline_in(seconds)
        try:
            async with asyncio.timeout(seconds):
                requests = await _run(self._threads(len(body)), self._codec.decode, body)
                results = await self._compute(self._method, requests, request_id, deadline)
                replies = [result for result in results if isinstance(result, bytes)]
                if len(replies) < len(results):
                    raise _one_failure(results)
                return await _run(self._threads(sum(map(len, replies))), self._codec.encode, replies)
        except TimeoutError:
            text = f"there is no answer after HTTP_TIMEOUT_SECONDS, {seconds:g}"
            raise Failure(Outcome.DEADLINE_EXCEEDED, text) from None
        except TooLarge as error:
            raise web.HTTPRequestEntityTooLarge(max_size=0, text=str(error)) from None

    async def _compute(
        self, method: served.Method, requests: Sequence[object], request_id: str, deadline: float
    ) -> list[bytes | Failure]:
        """What became of each request. Of very many some are computed first: health should not wait for all of them."""
        count = max(QUEUED_TOGETHER, self._settings.max_batch_size)
        results: list[bytes | Failure] = []
        for start in range(0, len(requests), count):
            part = requests[start : start + count]
            request_ids = [f"{request_id}/{start + index}" for index in range(len(part))]
            results += await self._calls.compute(method, part, request_ids, deadline)
        return results

    def _threads(self, size: int) -> ThreadPoolExecutor | None:
        """The threads in which so many bytes are turned from or into JSON; None for the event loop."""
        if size < LARGE_BODY:
            return None
        return self._large_bodies if size < HUGE_BODY else self._huge_bodies

    async def _answer(self, request: web.Request, call: Call, body: bytes) -> web.StreamResponse:
        """Sends the predictions, a long body in parts, each after the one before was taken."""
        if len(body) <= SENT_BYTES:
            return await self._send(request, web.Response(body=body, content_type="application/json"), call)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        return await self._send(request, response, call, body)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, call: Call, body: bytes = b""
    ) -> web.StreamResponse:
        """Sends the answer, which has left for the network when this returns: a stop waits for calls, and no longer."""
        response.headers["X-Request-Id"] = call.request_id
        if not self._state.is_serving:
            response.force_close()  # or the next request could meet the end of the connection
        with suppress(ConnectionError):  # the caller has gone
            await response.prepare(request)
            for start in range(0, len(body), SENT_BYTES):
                await response.write(body[start : start + SENT_BYTES])
            await response.write_eof()
        return response


def _go_on() -> None:
    """For work that takes so little time that nothing needs to stop it."""


async def _run(threads: ThreadPoolExecutor | None, function: Callable[..., R], *arguments: Any) -> R:
    """Calls the function, in one of the threads if there are any. It ends early when nobody waits for it any more."""
    if threads is None:
        return function(*arguments, _go_on)
    nobody_waits = threading.Event()

    def check() -> None:
        if nobody_waits.is_set():
            raise Abandoned

    try:
        return await asyncio.get_running_loop().run_in_executor(threads, partial(function, *arguments, check))
    except asyncio.CancelledError:
        nobody_waits.set()
        raise


def _codec(method: served.Method | None, settings: HttpSettings) -> Codec | None:
    if method is None:
        return None
    return Codec(
        method,
        max_items=2 * settings.max_request_elements,  # since each field is a value of JSON, too
        max_instances=settings.http_max_instances,
        max_bytes=settings.http_max_bytes,
    )


def _request_id(request: web.Request) -> str:
    """The caller's, as it can be in a log and in a header; empty if it gave none."""
    given = request.headers.get("X-Request-Id", "")
    return escaped(given, 128).encode("ascii", "backslashreplace").decode() if given else ""


def _check_content_type(request: web.Request) -> None:
    """Raises the HTTPException for a body that is not JSON; one without a type may be."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/json", "application/octet-stream"):
        kind = escaped(kind, SHOWN_BYTES)
        text = f"the body must be JSON, and its Content-Type application/json, not {kind}"
        raise web.HTTPUnsupportedMediaType(text=text)


def _coding(request: web.Request) -> str:
    """How the body is compressed, empty if it is not. Raises the HTTPException for a coding that is not read."""
    if "Content-Encoding" not in request.headers:
        return ""
    listed = ",".join(request.headers.getall("Content-Encoding", ())).lower().split(",")
    codings = [each.strip() for each in listed if each.strip() not in ("", "identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in CODINGS:
        text = f"the Content-Encoding must be gzip or deflate, not {escaped(', '.join(codings), SHOWN_BYTES)}"
        raise web.HTTPUnsupportedMediaType(text=text, headers={"Accept-Encoding": "gzip, deflate"})
    return codings[0]


async def _expect_later(request: web.Request) -> None:
    """Says 100 Continue not yet, but when the body is read: one that is too large is refused before it is sent."""


def _one_failure(results: Sequence[bytes | Failure]) -> Exception:
    """The error of a call some of whose instances failed: the model's failure first, last what breaks the contract."""
    failures = {index: result for index, result in enumerate(results) if isinstance(result, Failure)}
    for failure in failures.values():
        if failure.is_the_models:
            return failure
    for index, failure in failures.items():
        if failure.outcome is not Outcome.INVALID_ARGUMENT:
            return Failure(failure.outcome, f"instances[{index}]: {failure.message}")
    violations = [
        each for index, failure in failures.items() for each in below(f"instances[{index}]", failure.violations)
    ]
    first, *others = violations[:MAX_VIOLATIONS]
    return InvalidRequest(first.description, field=first.field, others=others)


def _refusal(failure: Failure) -> web.Response:
    """A failure in the form of Google's APIs, with all violations: https://google.aip.dev/193."""
    status = STATUSES[failure.outcome]
    error: dict[str, object] = {"code": status, "status": failure.outcome.name, "message": failure.message}
    if failure.violations:
        listed = [{"field": each.field, "description": each.description} for each in failure.violations]
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": listed}]
    response = json_response(status, {"error": error})
    if status in RETRIABLE:
        response.headers["Retry-After"] = "1"
    return response


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Gives what HTTP itself refuses (a route, a method, a type, a size) the form of every other error."""
    connection = _connection(request)
    connection.begin()
    try:
        return await handler(request)
    except web.HTTPException as error:
        text = error.text or ""
        if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            text = f"no route for {request.method} {request.path}; the routes are: {', '.join(_routes(request.app))}"
        response = error_response(error.status, text)
        response.headers.extend({name: error.headers[name] for name in SHARED_HEADERS if name in error.headers})
        return response
    finally:
        connection.end()


def _connection(request: web.Request) -> Connection:
    connection = request.protocol
    assert isinstance(connection, Connection)
    return connection


def _routes(app: web.Application) -> list[str]:
    """Method and path of each route, `POST /predict`."""
    resources = app.router.resources()
    return [f"{route.method} {each.canonical}" for each in resources for route in each if route.method != "HEAD"]
