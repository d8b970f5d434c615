"""Servers that the run starts itself, like a project's, and that stop well, badly or not at all."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import grpc

from zoo import Row, base, server
from zoo.health import Slow

SHUTDOWN = frozenset({"shutdown"})
GRACE = ("--grace", "5")
# These checks take long with a slow model, and have rows of their own.
STOPS = ("--skip", "bad-input,deadline,concurrency")
ROWS = (
    Row("stops-well", started=True, reflects=False),
    Row("stops-well-slow-model", started=True, reflects=False, options=STOPS),
    # gRPC cancels the calls that arrive at the moment of stop(), one for each caller: not the server's fault.
    Row("stops-by-the-book", started=True, reflects=False),
    Row("stops-without-watch", started=True, reflects=False, warns=frozenset({"health-honest"})),
    Row("stops-as-java", started=True, reflects=False),
    Row("ignores-sigterm", "shutdown", ("ignores SIGTERM",), started=True, reflects=False, options=GRACE),
    Row("never-ends", "shutdown", ("its process does not end",), started=True, reflects=False, options=GRACE),
    Row("killed-by-sigterm", "shutdown", ("SIGTERM itself killed", "exit code 143"), started=True, reflects=False),
    Row("exits-with-3", "shutdown", ("exit code 3", "the tracer is closed"), started=True, reflects=False),
    Row("exits-at-once", "shutdown", ("had accepted", "lost"), started=True, reflects=False, options=STOPS),
    Row(
        "stops-without-grace",
        "shutdown",
        ("had accepted",),
        started=True,
        reflects=False,
        options=STOPS,
    ),
    Row("no-not-serving", "shutdown", ("without having said NOT_SERVING",), started=True, reflects=False),
    Row("cancels-late-calls", None, ("instead of UNAVAILABLE",), started=True, reflects=False, warns=SHUTDOWN),
)


class Draining(Slow):
    """Refuses new calls when it stops."""

    stopping = False
    last = 0.0  # when a call was last refused or answered: callers repeat their calls

    def Predict(self, request: Any, context: Any) -> Any:
        if self.stopping:
            self.last = time.monotonic()
            self.refuse(context)
        answer = super().Predict(request, context)
        self.last = time.monotonic()
        return answer

    def refuse(self, context: Any) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")


def on_sigterm(port: int, servicer: Any, stop: Any, **options: Any) -> None:
    """Serves, and on SIGTERM calls `stop(server, health servicer)` in the main thread."""
    asked = threading.Event()

    def after_start(server: Any, checks: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: asked.set())
        while not asked.wait(0.1):
            pass
        stop(server, checks)

    base.serve(port, servicer, after_start=after_start, workers=64, **options)


def well(model: Draining) -> Any:
    def stop(server: Any, checks: Any) -> None:
        checks.enter_graceful_shutdown()
        time.sleep(0.5)
        model.stopping, model.last = True, time.monotonic()
        until = model.last + base.MOST_QUIET
        while model.busy or time.monotonic() < min(until, model.last + base.QUIET):
            time.sleep(0.01)
        server.stop(5).wait()

    return stop


@server("stops-well")
def stops_well(port: int) -> None:
    model = Draining(0.0)
    on_sigterm(port, model, well(model))


@server("stops-well-slow-model")
def stops_well_slow_model(port: int) -> None:
    model = Draining(0.6)
    on_sigterm(port, model, well(model))


@server("stops-as-java")
def stops_as_java(port: int) -> None:
    model = Draining(0.05)

    def stop(server: Any, checks: Any) -> None:
        well(model)(server, checks)
        os._exit(143)

    on_sigterm(port, model, stop)


@server("stops-by-the-book")
def stops_by_the_book(port: int) -> None:
    def stop(server: Any, checks: Any) -> None:
        checks.enter_graceful_shutdown()
        time.sleep(1)
        server.stop(grace=20).wait()

    on_sigterm(port, Slow(0.02), stop)


@server("stops-without-watch")
def stops_without_watch(port: int) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    class Checks(health_pb2_grpc.HealthServicer):
        state = base.SERVING

        def Check(self, request: Any, context: Any) -> Any:
            if request.service not in ("", base.SERVICE):
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return health_pb2.HealthCheckResponse(status=self.state)

        def enter_graceful_shutdown(self) -> None:
            self.state = base.NOT_SERVING

    model = Draining(0.01)
    on_sigterm(port, model, well(model), with_health=Checks())


@server("ignores-sigterm")
def ignores_sigterm(port: int) -> None:
    base.serve(port, after_start=lambda *_: signal.signal(signal.SIGTERM, signal.SIG_IGN))


@server("never-ends")
def never_ends(port: int) -> None:
    threading.Thread(target=threading.Event().wait).start()  # not a daemon
    base.serve(port)


@server("killed-by-sigterm")
def killed_by_sigterm(port: int) -> None:
    base.serve(port, after_start=lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


@server("exits-with-3")
def exits_with_3(port: int) -> None:
    model = Draining(0.0)

    def stop(server: Any, checks: Any) -> None:
        well(model)(server, checks)
        print("the tracer is closed", file=sys.stderr, flush=True)
        os._exit(3)

    on_sigterm(port, model, stop)


@server("exits-at-once")
def exits_at_once(port: int) -> None:
    def stop(server: Any, checks: Any) -> None:
        checks.enter_graceful_shutdown()
        time.sleep(0.05)
        os._exit(0)

    on_sigterm(port, Slow(0.4), stop)


@server("stops-without-grace")
def stops_without_grace(port: int) -> None:
    def stop(server: Any, checks: Any) -> None:
        checks.enter_graceful_shutdown()
        time.sleep(0.05)
        server.stop(None).wait()

    on_sigterm(port, Slow(0.4), stop)


@server("no-not-serving")
def no_not_serving(port: int) -> None:
    model = Draining(0.01)

    class Silent:
        def enter_graceful_shutdown(self) -> None:
            pass

    on_sigterm(port, model, lambda server, checks: well(model)(server, Silent()))


@server("cancels-late-calls")
def cancels_late_calls(port: int) -> None:
    class Cancels(Draining):
        def refuse(self, context: Any) -> None:
            context.abort(grpc.StatusCode.CANCELLED, "shutting down")

    model = Cancels(0.01)
    on_sigterm(port, model, well(model))
