"""Servers whose health service is missing, incomplete or dishonest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from zoo import Row, base, server

HONEST = frozenset({"health-honest"})
SHORT = ("--timeout", "2")
KUBERNETES = ("--platform", "kubernetes")
ROWS = (
    Row("no-health", "health-service", ("has no grpc.health.v1.Health",)),
    Row("health-of-its-own", "health-service", ("health method of its own, /zoo.v1.Health/Check",)),
    Row("health-not-overridden", "health-service", ("Check is not overridden",)),
    Row("health-other-message", "health-service", ("which are not a grpc.health.v1.HealthCheckResponse",)),
    Row("health-raises", "health-service", ("its Check fails",)),
    Row("health-hangs", "health-service", ("does not answer",)),
    Row("health-wants-credentials", "health-service", ("requires credentials",)),
    Row("loads-slowly"),
    Row("never-set", "health-serving", ("the status is never set",), options=SHORT),
    Row("loads-for-ever", "health-serving", ("Loading did not end",), options=SHORT),
    Row("health-unavailable", "health-serving", ("waited 2 s", "Loading did not end"), options=SHORT),
    Row("name-never-set", "health-serving", ('was never set for the service "zoo.v1.PredictionService"',)),
    Row("name-never-set", None, ("was never set",), frozenset({"health-serving"}), options=KUBERNETES),
    Row("overall-not-registered", "health-serving", ('The name "" is not registered',), options=KUBERNETES),
    Row("name-not-serving", "health-serving", ("for the service zoo.v1.PredictionService",), options=SHORT),
    Row("name-mistyped", "health-serving", ('knows "PredictionService"',)),
    Row("name-raises", "health-serving", ("for this name",)),
    Row("overall-not-registered", "health-serving", ('The name "" is not registered',)),
    Row("status-unknown", "health-serving", ("status UNKNOWN",)),
    Row("serving-too-early", "health-honest", ("before Predict can answer", "UNAVAILABLE")),
    Row("serving-too-early-errors", "health-honest", ("before Predict can answer", "UNKNOWN")),
    Row("serving-too-early-checks", "health-honest", ("before Predict can answer", "UNAVAILABLE")),
    Row("serving-never-able", "health-honest", ("before Predict can answer",), options=SHORT),
    Row(
        "serving-too-early-not-loaded",
        "health-honest",
        ("before Predict can answer", "FAILED_PRECONDITION"),
        reflects=False,
    ),
    Row("serving-too-early-aio", "health-honest", ("before Predict can answer", "'NoneType' object"), reflects=False),
    Row(
        "serving-too-early-by-default",
        "health-honest",
        ('under the name ""', "says SERVING at "),
    ),
    Row(
        "serving-never-loaded",
        "health-honest",
        ("was not there within", "Model is not loaded"),
        reflects=False,
        options=SHORT,
    ),
    Row(
        "not-serving-never-loaded",
        "health-serving",
        ("Loading did not end", "FAILED_PRECONDITION"),
        reflects=False,
        options=SHORT,
    ),
    Row("serving-a-second-early", "health-honest", ("before Predict can answer",), started=True, reflects=False),
    Row("waits-for-its-model", "health-honest", ("still loading",), started=True, reflects=False),
    Row("first-call-slow", None, ("at the first call",), warns=HONEST),
    Row("serving-any-name", "health-honest", ("for every name",)),
    Row("unknown-name-raises", "health-honest", ("raises an exception (such as KeyError) for a name",)),
    Row("unknown-name-a-status", None, ("SERVICE_UNKNOWN", "requires NOT_FOUND"), warns=HONEST),
    Row("busy-workers", "health-honest", ("worker threads are busy",)),
    Row("busy-workers", "health-honest", ("worker threads are busy",), options=("--only", "health-honest")),
    Row(
        "blocked-loop",
        "health-honest",
        ("event loop is blocked",),
        options=("--skip", "bad-input,deadline,concurrency"),
    ),
    Row("health-limited", "health-honest", ("maximum_concurrent_rpcs",)),
    Row("not-serving-when-busy", "health-honest", ("changes to NOT_SERVING",)),
    Row("health-raises-when-busy", "health-honest", ("Check fails while the server is busy",)),
    Row("health-slow-once", None, ("longer than a probe waits",), warns=HONEST),
    Row("watch-raises", "health-honest", ("Watch raises",)),
    Row("watch-behind-an-interceptor", "health-honest", ("Watch raises", "interceptor")),
    Row("watch-ends", "health-honest", ("answers once and ends",)),
    Row("watch-waits", "health-honest", ("waits for a change",)),
    Row("watch-another-state", "health-honest", ("do not report the same status",)),
    Row("watch-holds-threads", "health-honest", ("holds a worker thread",)),
    Row("watch-leaves-a-lock", "health-honest", ("still holds something",)),
    Row("no-watch", None, ("has no Watch",), warns=HONEST),
    Row("watch-any-name", None, ("requires SERVICE_UNKNOWN",), warns=HONEST),
)
Response = health_pb2.HealthCheckResponse


class Own(health_pb2_grpc.HealthServicer):
    """A healthy sync health servicer; subclasses change one thing."""

    states: ClassVar = {"": base.SERVING, base.SERVICE: base.SERVING}

    def Check(self, request: Any, context: Any) -> Any:
        if request.service not in self.states:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return Response(status=self.states[request.service])

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        ended = threading.Event()
        context.add_callback(ended.set)
        yield Response(status=self.states.get(request.service, Response.SERVICE_UNKNOWN))
        ended.wait()


def own(port: int, checks: Any, servicer: Any = None, workers: int = 64, **options: Any) -> None:
    """Serves with this health servicer, with enough workers for its Watches unless that is the fault."""
    base.serve(port, servicer, with_health=checks, workers=workers, **options)


def stock(overall: int | None, named: int | None, name: str = base.SERVICE) -> Any:
    """The stock servicer with these states; None for a name that is not set. By default `""` is SERVING."""
    checks = health.HealthServicer()
    for key, state in (("", overall), (name, named)):
        if state is not None:
            checks.set(key, state)
    return checks


@server("no-health")
def no_health(port: int) -> None:
    base.serve(port, with_health=False)


def check_handler(answer: Callable[[bytes, Any], bytes], name: str) -> Any:
    return grpc.method_handlers_generic_handler(name, {"Check": grpc.unary_unary_rpc_method_handler(answer)})


@server("health-of-its-own")
def health_of_its_own(port: int) -> None:
    def register(servicer: Any, server: Any) -> None:
        base.add(servicer, server)
        server.add_generic_rpc_handlers((check_handler(lambda data, context: b"\x08\x01", "zoo.v1.Health"),))

    base.serve(port, with_health=False, register=register)


@server("health-not-overridden")
def health_not_overridden(port: int) -> None:
    class Lower(health_pb2_grpc.HealthServicer):
        def check(self, request: Any, context: Any) -> Any:
            return Response(status=base.SERVING)

    own(port, Lower())


@server("health-other-message")
def health_other_message(port: int) -> None:
    def register(servicer: Any, server: Any) -> None:
        base.add(servicer, server)
        answer = check_handler(lambda data, context: b"\x0a\x07SERVING", health.SERVICE_NAME)
        server.add_generic_rpc_handlers((answer,))

    base.serve(port, with_health=False, register=register)


@server("health-raises")
def health_raises(port: int) -> None:
    class Raises(Own):
        def Check(self, request: Any, context: Any) -> Any:
            raise AttributeError("'NoneType' object has no attribute 'ready'")

    own(port, Raises())


@server("health-hangs")
def health_hangs(port: int) -> None:
    class Hangs(Own):
        def Check(self, request: Any, context: Any) -> Any:
            threading.Event().wait(60)

    own(port, Hangs())


@server("health-wants-credentials")
def health_wants_credentials(port: int) -> None:
    class Guard(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            if not details.method.startswith("/grpc.health"):
                return continuation(details)
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            )

    base.serve(port, interceptors=[Guard()])


class Loading(base.Servicer):
    """Answers UNAVAILABLE, or as `refuse` does, until the model has loaded: `seconds` after the first call."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.loaded_at = seconds, 0.0

    def Predict(self, request: Any, context: Any) -> Any:
        self.loaded_at = self.loaded_at or time.monotonic() + self.seconds
        if time.monotonic() < self.loaded_at:
            self.refuse(context)
        return base.answer(request)

    def refuse(self, context: Any) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "the model is still loading")


def later(checks: Any, seconds: float) -> Callable[[Any, Any], None]:
    def run() -> None:
        time.sleep(seconds)
        for name in ("", base.SERVICE):
            checks.set(name, base.SERVING)

    return lambda *_: threading.Thread(target=run, daemon=True).start()


@server("loads-slowly")
def loads_slowly(port: int) -> None:
    checks = stock(base.NOT_SERVING, base.NOT_SERVING)
    base.serve(port, Loading(0), with_health=checks, after_start=later(checks, 2.5))


@server("never-set")
def never_set(port: int) -> None:
    base.serve(port, with_health=stock(base.NOT_SERVING, base.NOT_SERVING))


@server("loads-for-ever")
def loads_for_ever(port: int) -> None:
    base.serve(port, Loading(3600), with_health=stock(base.NOT_SERVING, base.NOT_SERVING))


@server("health-unavailable")
def health_unavailable(port: int) -> None:
    class Unavailable(Own):
        def Check(self, request: Any, context: Any) -> Any:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the model is still loading")

    own(port, Unavailable())


@server("name-never-set")
def name_never_set(port: int) -> None:
    base.serve(port, with_health=stock(base.SERVING, None))


@server("name-not-serving")
def name_not_serving(port: int) -> None:
    base.serve(port, with_health=stock(base.SERVING, base.NOT_SERVING))


@server("name-mistyped")
def name_mistyped(port: int) -> None:
    base.serve(port, with_health=stock(base.SERVING, base.SERVING, "PredictionService"))


@server("name-raises")
def name_raises(port: int) -> None:
    class Raises(Own):
        def Check(self, request: Any, context: Any) -> Any:
            return Response(status={"": base.SERVING}[request.service])

    own(port, Raises())


@server("overall-not-registered")
def overall_not_registered(port: int) -> None:
    class Named(Own):
        states: ClassVar = {base.SERVICE: base.SERVING}

    own(port, Named())


@server("status-unknown")
def status_unknown(port: int) -> None:
    class Unset(Own):
        def Check(self, request: Any, context: Any) -> Any:
            return Response()

    own(port, Unset())


@server("serving-too-early")
def serving_too_early(port: int) -> None:
    base.serve(port, Loading(1))


@server("serving-too-early-errors")
def serving_too_early_errors(port: int) -> None:
    class Raises(Loading):
        def refuse(self, context: Any) -> None:
            raise AttributeError("'NoneType' object has no attribute 'predict'")

    base.serve(port, Raises(1))


@server("serving-too-early-checks")
def serving_too_early_checks(port: int) -> None:
    """It checks the request before it needs its model."""

    class Checks(Loading):
        def Predict(self, request: Any, context: Any) -> Any:
            if len(request.values) != 4:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: wrong number")
            return super().Predict(request, context)

    base.serve(port, Checks(2))


class NotLoaded(Loading):
    def refuse(self, context: Any) -> None:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "Model is not loaded")


@server("serving-too-early-not-loaded")
def serving_too_early_not_loaded(port: int) -> None:
    base.serve(port, NotLoaded(3))


@server("serving-never-loaded")
def serving_never_loaded(port: int) -> None:
    base.serve(port, NotLoaded(3600))


@server("not-serving-never-loaded")
def not_serving_never_loaded(port: int) -> None:
    base.serve(port, NotLoaded(3600), with_health=stock(base.NOT_SERVING, base.NOT_SERVING))


@server("serving-too-early-aio")
def serving_too_early_aio(port: int) -> None:
    class Raises(base.AioServicer):
        loaded_at = 0.0

        async def Predict(self, request: Any, context: Any) -> Any:
            self.loaded_at = self.loaded_at or time.monotonic() + 3
            if time.monotonic() < self.loaded_at:
                raise AttributeError("'NoneType' object has no attribute 'predict'")
            return base.answer(request)

    base.serve_aio(port, Raises())


@server("serving-too-early-by-default")
def serving_too_early_by_default(port: int) -> None:
    """It sets the name of its service at the right time, and leaves the other one as the stock servicer has it."""
    checks = stock(None, base.NOT_SERVING)

    def load(server: Any, checks: Any) -> None:
        time.sleep(1.5)
        checks.set(base.SERVICE, base.SERVING)

    base.serve(port, Loading(1.2), with_health=checks, after_start=load)


@server("serving-never-able")
def serving_never_able(port: int) -> None:
    base.serve(port, Loading(3600))


@server("serving-a-second-early")
def serving_a_second_early(port: int) -> None:
    base.serve(port, Loading(1))


@server("waits-for-its-model")
def waits_for_its_model(port: int) -> None:
    """It accepts calls at once, and lets them wait."""

    class Waits(Loading):
        def refuse(self, context: Any) -> None:
            time.sleep(max(0.0, self.loaded_at - time.monotonic()))

    base.serve(port, Waits(3))


@server("first-call-slow")
def first_call_slow(port: int) -> None:
    class Lazy(base.Servicer):
        compiled = False

        def Predict(self, request: Any, context: Any) -> Any:
            if not self.compiled:
                time.sleep(1.5)
                self.compiled = True
            return base.answer(request)

    base.serve(port, Lazy())


@server("serving-any-name")
def serving_any_name(port: int) -> None:
    class Any_(Own):
        def Check(self, request: Any, context: Any) -> Any:
            return Response(status=base.SERVING)

    own(port, Any_())


@server("unknown-name-raises")
def unknown_name_raises(port: int) -> None:
    class Raises(Own):
        def Check(self, request: Any, context: Any) -> Any:
            return Response(status=self.states[request.service])

    own(port, Raises())


@server("unknown-name-a-status")
def unknown_name_a_status(port: int) -> None:
    class Status(Own):
        def Check(self, request: Any, context: Any) -> Any:
            return Response(status=self.states.get(request.service, Response.SERVICE_UNKNOWN))

    own(port, Status())


class Slow(base.Servicer):
    """A model that takes `seconds`, and counts its calls in progress."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.busy, self._lock = seconds, 0, threading.Lock()

    def Predict(self, request: Any, context: Any) -> Any:
        with self._lock:
            self.busy += 1
        time.sleep(self.seconds)
        with self._lock:
            self.busy -= 1
        return base.answer(request)


@server("busy-workers")
def busy_workers(port: int) -> None:
    base.serve(port, Slow(0.5), workers=4)


@server("blocked-loop")
def blocked_loop(port: int) -> None:
    class Blocks(base.AioServicer):
        async def Predict(self, request: Any, context: Any) -> Any:
            time.sleep(1.2)
            return base.answer(request)

    base.serve_aio(port, Blocks())


@server("health-limited")
def health_limited(port: int) -> None:
    base.serve(port, Slow(0.05), workers=64, maximum_concurrent_rpcs=16)


def when_busy(port: int, misbehave: Callable[[Any], Any]) -> None:
    """Check does something else while more than 16 calls are in flight."""
    model = Slow(0.1)

    class Busy(Own):
        def Check(self, request: Any, context: Any) -> Any:
            if model.busy > 16 and (answer := misbehave(context)) is not None:
                return answer
            return super().Check(request, context)

    own(port, Busy(), model, workers=96)


@server("not-serving-when-busy")
def not_serving_when_busy(port: int) -> None:
    when_busy(port, lambda context: Response(status=base.NOT_SERVING))


@server("health-raises-when-busy")
def health_raises_when_busy(port: int) -> None:
    when_busy(port, lambda context: context.abort(grpc.StatusCode.INTERNAL, "the queue is full"))


@server("health-slow-once")
def health_slow_once(port: int) -> None:
    naps = [1.5]
    when_busy(port, lambda context: time.sleep(naps.pop() if naps else 0))


def watching(port: int, watch: Callable[[Any, Any], Iterator[Any]], workers: int = 64) -> None:
    class Watching(Own):
        def Watch(self, request: Any, context: Any) -> Iterator[Any]:
            return watch(request, context)

    own(port, Watching(), workers=workers)


@server("watch-raises")
def watch_raises(port: int) -> None:
    def watch(request: Any, context: Any) -> Iterator[Any]:
        raise TypeError("'coroutine' object is not iterable")

    watching(port, watch)


@server("watch-behind-an-interceptor")
def watch_behind_an_interceptor(port: int) -> None:
    """https://github.com/grpc/grpc/issues/28728: the stock aio Watch is not a generator, but this iterates over it."""

    class Timed(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            if handler is None or not handler.response_streaming or handler.request_streaming:
                return handler

            async def stream(request: Any, context: Any) -> Any:
                async for message in handler.unary_stream(request, context):
                    yield message

            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )

    base.serve_aio(port, interceptors=[Timed()])


@server("watch-ends")
def watch_ends(port: int) -> None:
    watching(port, lambda request, context: iter([Response(status=base.SERVING)]))


def waiting(context: Any, first: list[Any]) -> Iterator[Any]:
    ended = threading.Event()
    context.add_callback(ended.set)
    yield from first
    ended.wait()


@server("watch-waits")
def watch_waits(port: int) -> None:
    watching(port, lambda request, context: waiting(context, []))


@server("watch-another-state")
def watch_another_state(port: int) -> None:
    watching(port, lambda request, context: waiting(context, [Response(status=base.NOT_SERVING)]))


@server("watch-any-name")
def watch_any_name(port: int) -> None:
    watching(port, lambda request, context: waiting(context, [Response(status=base.SERVING)]))


@server("watch-holds-threads")
def watch_holds_threads(port: int) -> None:
    own(port, Own(), workers=10)


@server("watch-leaves-a-lock")
def watch_leaves_a_lock(port: int) -> None:
    lock = threading.Lock()

    class Locked(Own):
        def Check(self, request: Any, context: Any) -> Any:
            with lock:
                return super().Check(request, context)

        def Watch(self, request: Any, context: Any) -> Iterator[Any]:
            context.add_callback(lambda: lock.acquire(blocking=False))
            return super().Watch(request, context)

    own(port, Locked())


@server("no-watch")
def no_watch(port: int) -> None:
    class Checks(health_pb2_grpc.HealthServicer):
        Check = Own.Check
        states = Own.states

    own(port, Checks())
