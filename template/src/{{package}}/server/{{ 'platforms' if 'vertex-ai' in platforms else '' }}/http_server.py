"""HTTP's way to the core, for platforms that ask by JSON: one route for health, one for predictions.

It runs on the server's event loop, and handles no signals.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from ...contract import served
from ...contract.violations import MAX_VIOLATIONS, InvalidRequest
from ..core.calls import Calls, deadline_in, in_thread_if
from ..core.outcomes import Failure, Outcome
from ..core.state import ServerState
from ..settings import Settings, parse_bytes, parse_seconds, parse_text, setting
from .instances import Codec, below

LARGE_BODY = 2**13  # bytes of JSON, which take a few milliseconds; health should not wait for them
CLOSING_SECONDS = 0.2  # for connections that ask nothing: what was asked has its answer when the server stops
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
    http_timeout_seconds: float = setting(
        60.0, parse_seconds, "Seconds after which an HTTP call is given up, with 504."
    )

    def __post_init__(self) -> None:
        names = sorted({name for method in UNARY for name in method.names})
        if self.predict_method is not None and self.predict_method not in names:
            known = ", ".join(names) or "none"
            raise ValueError(f"PREDICT_METHOD must be a unary method ({known}); got {self.predict_method!r}")


class HttpServer:
    """The HTTP server. Its health is that of gRPC's `""`: 200 when it is SERVING, else 503."""

    def __init__(self, settings: HttpSettings, calls: Calls, state: ServerState) -> None:
        self._settings, self._calls, self._state = settings, calls, state
        self._method = next((each for each in UNARY if settings.predict_method in (None, *each.names)), None)
        self._codec = Codec(self._method) if self._method else None
        self._app = web.Application(middlewares=[_errors_as_json], client_max_size=settings.http_max_bytes)
        self._runner = web.AppRunner(
            self._app, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSING_SECONDS
        )

    async def start(self, port: int, health_route: str, predict_route: str) -> int:
        """Listens where gRPC does, on IPv4; returns the port. Raises OSError."""
        self._app.router.add_get(health_route, self._health)
        self._app.router.add_post(predict_route, self._predict)
        await self._runner.setup()
        host = self._settings.host.strip("[]")
        await web.TCPSite(self._runner, "0.0.0.0" if host == "::" else host, port, reuse_port=False).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.StreamResponse:
        if self._state.is_serving:
            return _json_response(HTTPStatus.OK, {"status": "SERVING"})
        refusal = self._calls.admission.refusal()
        message = refusal.message if refusal else "the server is stopping"  # a lame duck still takes calls
        response = _json_response(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "NOT_SERVING", "message": message})
        response.force_close()
        return response

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        """One call, from its body to the end of its answer."""
        name = self._method.label if self._method else "predict"
        with self._calls.start(name, request.headers.get("X-Request-Id", ""), transport="HTTP") as call:
            try:
                body = await self._read(request)
                with self._calls.admission.admitted():
                    predictions = await self._predictions(body, call.request_id)
                    call.succeeded()
                    response = web.Response(body=predictions, content_type="application/json")
                    return await self._send(request, response, call.request_id)
            except web.HTTPException as error:
                call.code = HTTPStatus(error.status).name
                raise
            except Exception as error:
                return await self._send(request, _refusal(call.failed(error)), call.request_id)

    async def _read(self, request: web.Request) -> bytes:
        """The body of a call. Raises the HTTPException for one that is not read."""
        if request.content_type not in ("application/json", "application/octet-stream"):  # the latter: none was given
            text = f"the body must be JSON, and its Content-Type application/json, not {request.content_type}"
            raise web.HTTPUnsupportedMediaType(text=text)
        size, most = request.content_length or 0, self._settings.http_max_bytes
        if size > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=size)
        try:
            async with asyncio.timeout(self._settings.http_timeout_seconds):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body did not arrive within HTTP_TIMEOUT_SECONDS") from None
        except (ConnectionError, web.RequestPayloadError) as error:  # the caller has gone, or compressed it wrongly
            raise web.HTTPBadRequest(text=f"the body cannot be read: {error}") from None

    async def _predictions(self, body: bytes, request_id: str) -> bytes:
        """The answer's body for a call's body. Raises Failure and InvalidRequest."""
        if self._method is None or self._codec is None:
            text = "all methods of this service stream, and HTTP has one answer: use gRPC"
            raise Failure(Outcome.UNIMPLEMENTED, text)
        requests = await in_thread_if(len(body) >= LARGE_BODY, self._codec.decode, body)
        request_ids = [f"{request_id}/{index}" for index in range(len(requests))]
        seconds = self._settings.http_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                results = await self._calls.compute(self._method, requests, request_ids, deadline_in(seconds))
        except TimeoutError:
            text = f"there is no answer after HTTP_TIMEOUT_SECONDS, {seconds:g}"
            raise Failure(Outcome.DEADLINE_EXCEEDED, text) from None
        replies = [result for result in results if isinstance(result, bytes)]
        if len(replies) < len(results):
            raise _one_failure(results)
        return await in_thread_if(sum(map(len, replies)) >= LARGE_BODY, self._codec.encode, replies)

    async def _send(self, request: web.Request, response: web.Response, request_id: str) -> web.Response:
        """Sends the answer, which has left for the network when this returns: a stop waits for calls, and no longer."""
        response.headers["X-Request-Id"] = request_id
        if not self._state.is_serving:
            response.force_close()  # or the next request could meet the end of the connection
        with suppress(ConnectionError):  # the caller has gone
            await response.prepare(request)
            await response.write_eof()
        return response


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
    response = _json_response(status, {"error": error})
    if status in RETRIABLE:
        response.headers["Retry-After"] = "1"
    return response


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Gives what HTTP itself refuses (a route, a method, a type, a size) the form of every other error."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        text = error.text or ""
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            text = f"no route for {request.method} {request.path}; the routes are: {', '.join(_routes(request.app))}"
        response = _json_response(status, {"error": {"code": status, "status": status.name, "message": text}})
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


def _routes(app: web.Application) -> list[str]:
    """Method and path of each route, `POST /predict`."""
    resources = app.router.resources()
    return [f"{route.method} {each.canonical}" for each in resources for route in each if route.method != "HEAD"]


def _json_response(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")
