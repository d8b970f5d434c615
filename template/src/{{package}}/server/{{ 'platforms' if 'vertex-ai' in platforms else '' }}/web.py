"""An HTTP server beside gRPC, for platforms that ask by JSON: one route for health, one for predictions.

It runs on the server's loop, and leaves signals alone.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc
from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ...contract import served
from ...contract.violations import MAX_VIOLATIONS, InvalidRequest, Violation
from ..errors import Failure, failure
from ..health import Health
from ..logs import logger
from ..servicer import Servicer
from ..settings import BYTES, SECONDS, TEXT, Settings, setting
from .compute import compute
from .instances import Codec, below, violations

LARGE = 2**13  # bytes of JSON that take a few milliseconds, for which health should not wait
CLOSING_SECONDS = 0.2  # for connections that ask nothing: what was asked has its answer when the server stops
UNARY = [method for method in served.METHODS if not (method.streaming or method.retired)]  # the newest first
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


@dataclass(frozen=True, kw_only=True)
class WebSettings(Settings):
    """The server's settings, and what can be set of HTTP."""

    predict_method: str | None = setting(None, TEXT, "Method that HTTP asks, a unary one.", "the first unary one")
    http_max_bytes: int = setting(10_000_000, BYTES, "Bytes of the body of an HTTP call, at most; larger ones get 413.")
    http_timeout_seconds: float = setting(60, SECONDS, "Seconds after which an HTTP call is given up, with 504.")

    def __post_init__(self) -> None:
        if self.predict_method is not None and not any(self.predict_method in method.names for method in UNARY):
            names = ", ".join(sorted(set[str]().union(*(method.names for method in UNARY)))) or "none"
            raise ValueError(f"PREDICT_METHOD cannot be {self.predict_method}. There are: {names}")


class Web:
    """The HTTP server. Health is that of gRPC's `""`: 200 when it is SERVING, else 503."""

    def __init__(self, settings: WebSettings, servicer: Servicer, health: Health) -> None:
        self._settings, self._servicer, self._state = settings, servicer, health
        self._method = next((it for it in UNARY if settings.predict_method in (None, *it.names)), None)
        self._codec = Codec(self._method) if self._method else None
        app = web.Application(middlewares=[_errors_as_json], client_max_size=settings.http_max_bytes)
        options: Any = {"access_log": None, "handler_cancellation": True, "shutdown_timeout": CLOSING_SECONDS}
        self._app, self._runner = app, web.AppRunner(app, **options)

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

    async def _is_serving(self) -> bool:
        reply = await self._state.Check(HealthCheckRequest(), None)
        return reply.status == HealthCheckResponse.SERVING

    async def _health(self, _: web.Request) -> web.StreamResponse:
        serving = await self._is_serving()
        response = _json(200 if serving else 503, {"status": "SERVING" if serving else "NOT_SERVING"})
        if not serving:
            response.force_close()
        return response

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        """A call from its body to the end of its answer."""
        started, code = time.perf_counter(), "CANCELLED"
        request_id = request.headers.get("X-Request-Id", "")[:128] or next(self._servicer.new_ids)
        name = self._method.label if self._method else "predict"
        try:
            body = await self._body(request)
            with self._servicer.admitted():
                response = web.Response(body=await self._answer(body, request_id), content_type="application/json")
                code = "OK"
                return await self._sent(request, response, request_id)
        except Exception as error:
            if isinstance(error, web.HTTPException):
                code = HTTPStatus(error.status).name
                raise
            why = failure(error, name, request_id)
            code = why.code.name
            found = error.violations if isinstance(error, InvalidRequest) else violations(why)
            return await self._sent(request, _refusal(why, found), request_id)
        finally:
            if self._settings.log_requests:
                ms = (time.perf_counter() - started) * 1000
                extra = {"method": name, "code": code, "ms": round(ms, 2), "request_id": request_id}
                logger.info("HTTP %s (request %s): %s, %.2f ms", name, request_id, code, ms, extra=extra)

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type not in ("application/json", "application/octet-stream"):  # the latter: none was given
            text = f"the body must be JSON, and its Content-Type application/json, not {request.content_type}"
            raise web.HTTPUnsupportedMediaType(text=text)
        most = self._settings.http_max_bytes
        if (request.content_length or 0) > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=request.content_length or 0)
        try:
            async with asyncio.timeout(self._settings.http_timeout_seconds):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body did not arrive within HTTP_TIMEOUT_SECONDS") from None
        except (ConnectionError, web.RequestPayloadError) as error:  # the caller has gone, or compressed it wrongly
            raise web.HTTPBadRequest(text=f"the body cannot be read: {error}") from None

    async def _answer(self, body: bytes, request_id: str) -> bytes:
        """The predictions for a body; raises Failure and InvalidRequest."""
        if self._method is None or self._codec is None:
            text = "all methods of this service stream, and HTTP has one answer: use gRPC"
            raise Failure(grpc.StatusCode.UNIMPLEMENTED, text)
        decode, encode = self._codec.decode, self._codec.encode
        requests = decode(body) if len(body) < LARGE else await asyncio.to_thread(decode, body)
        seconds = self._settings.http_timeout_seconds
        try:
            outcomes = await compute(self._servicer, self._method, requests, request_id, seconds)
        except TimeoutError:
            text = f"there is no answer after HTTP_TIMEOUT_SECONDS, {seconds:g}"
            raise Failure(grpc.StatusCode.DEADLINE_EXCEEDED, text) from None
        replies = [outcome for outcome in outcomes if isinstance(outcome, bytes)]
        if len(replies) < len(outcomes):
            raise _one_of(outcomes)
        return encode(replies) if sum(map(len, replies)) < LARGE else await asyncio.to_thread(encode, replies)

    async def _sent(self, request: web.Request, response: web.Response, request_id: str) -> web.Response:
        """Has left for the network when this returns: a stop waits for calls, and no longer."""
        response.headers["X-Request-Id"] = request_id
        if not await self._is_serving():
            response.force_close()  # or the next request could meet the end of the connection
        with suppress(ConnectionError):  # the caller has gone
            await response.prepare(request)
            await response.write_eof()
        return response


def _one_of(outcomes: Sequence[bytes | Failure]) -> Exception:
    """The error of a call some of whose instances failed: what the caller can mend only if there is nothing else."""
    failures = [(index, outcome) for index, outcome in enumerate(outcomes) if isinstance(outcome, Failure)]
    for _, outcome in failures:
        if outcome.code is not grpc.StatusCode.INVALID_ARGUMENT:
            return outcome
    found = [it for index, outcome in failures for it in below(f"instances[{index}]", violations(outcome))]
    return InvalidRequest(found[0].description, field=found[0].field, others=found[1:MAX_VIOLATIONS])


def _refusal(why: Failure, found: Sequence[Violation]) -> web.Response:
    """An error in the form of Google's APIs, https://google.aip.dev/193, with all violations."""
    status = STATUSES.get(why.code, 500)
    error: dict[str, Any] = {"code": status, "status": why.code.name, "message": why.details}
    if found:
        listed = [{"field": item.field, "description": item.description} for item in found]
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": listed}]
    response = _json(status, {"error": error})
    if status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


@web.middleware
async def _errors_as_json(request: web.Request, handler: Any) -> Any:
    """What HTTP itself refuses (a route, a method, a type, a size) looks like every other error."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        text = error.text or ""
        if error.status in (404, 405):
            resources = request.app.router.resources()
            known = [f"{route.method} {it.canonical}" for it in resources for route in it if route.method != "HEAD"]
            text = f"there is no {request.method} {request.path}; there are: {', '.join(known)}"
        response = _json(
            error.status, {"error": {"code": error.status, "status": HTTPStatus(error.status).name, "message": text}}
        )
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


def _json(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")
