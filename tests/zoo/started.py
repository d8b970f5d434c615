"""`python -m zoo.started WHAT`: a server for `protoserve verify -- COMMAND`, which listens on PORT."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from zoo import base

LOADING_SECONDS = 0.4


class Loading(base.Servicer):
    """The model is there a little later than the server."""

    def __init__(self) -> None:
        self.loaded = False

    def Predict(self, request: Any, context: Any) -> Any:
        if not self.loaded:
            context.abort(grpc.StatusCode.UNAVAILABLE, "still loading")
        return base.answer(request)


def main(what: str) -> None:
    """`honest` says SERVING once the model is loaded, `early` before."""
    servicer = Loading()
    checks = health.HealthServicer()

    def register(servicer: Any, server: Any) -> None:
        base.add(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        say(base.SERVING if what == "early" else base.NOT_SERVING)

    def say(status: Any) -> None:
        for name in ("", base.SERVICE):
            checks.set(name, status)

    def load(*_: Any) -> None:
        time.sleep(LOADING_SECONDS)
        servicer.loaded = True
        say(base.SERVING)

    def stop(door: base.Door) -> None:
        checks.enter_graceful_shutdown()
        door.wait()

    base.serve(
        int(os.environ["PORT"]),
        servicer,
        register=register,
        with_health=False,
        before_stop=stop,
        after_start=lambda *_: threading.Thread(target=load, daemon=True).start(),
    )


main(sys.argv[1])
