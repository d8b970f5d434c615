"""The server in the images of test_image_target.py: `python image_server.py KIND`, as one writes it by hand.

It is told what a platform tells, by PORT or AIP_HTTP_PORT, and listens on 50051 without that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from zoo import base

PORT = int(os.environ.get("PORT", "50051"))


def loopback() -> None:
    base.serve(PORT, host="127.0.0.1")


def ends() -> None:
    sys.exit("the model is not where it should be")


def finished() -> None:
    print("trained")


def writes() -> None:
    Path("/app/cache.txt").write_text("cached", encoding="utf-8")
    base.serve(PORT)


def hungry() -> None:
    print(len(bytearray(b"x" * 900_000_000)))


def deaf() -> None:
    """Python as PID 1 ignores SIGTERM where it has no handler."""
    base.serve(PORT, after_start=lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


class Handler(BaseHTTPRequestHandler):
    """The two routes, by the variables that Vertex AI sets."""

    ready_after = 0.0
    health_after = 0.0
    began = time.monotonic()

    def do_GET(self) -> None:
        well = self.path == os.environ.get("AIP_HEALTH_ROUTE", "/health")
        self.send(404 if not well else 200 if self.age() >= self.health_after else 503, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.age() < self.ready_after:
            self.send(503, b"loading")
            return
        try:
            instances = json.loads(body)["instances"]
            found = [instance["height"] + instance["weight"] for instance in instances]
        except (ValueError, KeyError, TypeError) as error:
            self.send(400, json.dumps({"error": repr(error)}).encode())
            return
        self.send(200, json.dumps({"predictions": found}).encode())

    def age(self) -> float:
        return time.monotonic() - self.began

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Patient(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def http(port: int = 0, host: str = "0.0.0.0", **kind: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    handler = type("Kind", (Handler,), dict(kind))
    Patient((host, port or int(os.environ["AIP_HTTP_PORT"])), handler).serve_forever()


def beside(**where: Any) -> None:
    """HTTP in a thread beside gRPC."""
    port = int(os.environ["AIP_HTTP_PORT"])
    server = Patient((where.get("host", "0.0.0.0"), port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base.serve(50051)


KINDS: dict[str, Callable[[], None]] = {
    "healthy": lambda: base.serve(PORT),
    "fixed": lambda: base.serve(50051),
    "loopback": loopback,
    "ends": ends,
    "finished": finished,
    "writes": writes,
    "hungry": hungry,
    "deaf": deaf,
    "http": http,
    "http-slow": lambda: http(ready_after=2.0, health_after=2.0),
    "http-early": lambda: http(ready_after=2.5),
    "http-elsewhere": lambda: http(5000),
    "http-and-grpc": beside,
    "http-loopback-and-grpc": lambda: beside(host="127.0.0.1"),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
