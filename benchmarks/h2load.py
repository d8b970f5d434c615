"""Load by a client in C, h2load (Debian's nghttp2-client), that counts replies and their bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from peer_protocols import Grpc, Http, Row


@dataclass(frozen=True)
class Load:
    """What came of a number of requests: `reply_bytes` is the size of all bodies together."""

    requests: int
    succeeded: int
    seconds: float
    reply_bytes: int
    # What h2load says of them: how many failed, and the statuses.
    summary: str

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.succeeded / self.seconds


def require() -> None:
    """Ends the program with what to do if h2load is not installed."""
    if shutil.which("h2load") is None:
        sys.exit("h2load is not installed: apt-get install nghttp2-client")


def run(protocol: Grpc | Http, port: int, row: Row, requests: int, in_flight: int) -> Load:
    """Sends so many requests, so many at once, and waits for all replies."""
    with start(protocol, port, row, requests, in_flight) as process:
        output, _ = process.communicate()
    counts = re.search(r"(\d+) done, (\d+) succeeded", output)
    status = re.search(r"status codes: (\d+) 2xx", output)
    traffic = re.search(r"\((\d+)\) data", output)
    took = re.search(r"finished in ([\d.]+)(us|ms|s|m)", output)
    if not (counts and status and traffic and took):
        raise RuntimeError(f"h2load printed: {output[-500:]}")
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[took[2]]
    succeeded = min(int(counts[2]), int(status[1]))
    summary = "; ".join(re.findall(r"(?m)^(?:requests|status codes): .*", output))
    return Load(requests, succeeded, float(took[1]) * unit, int(traffic[1]), summary)


def start(
    protocol: Grpc | Http, port: int, row: Row, requests: int, in_flight: int, *, niceness: int = 0
) -> subprocess.Popen[str]:
    """The client as a running process."""
    connections, streams = protocol.connections[in_flight]
    body = Path(tempfile.gettempdir()) / f"h2load-{protocol.name}-{port}"
    body.write_bytes(protocol.body(row))
    command = [
        *("nice", "-n", str(niceness), "h2load"),
        *(f"--requests={requests}", f"--clients={connections}", f"--max-concurrent-streams={streams}"),
        *(f"--data={body}", *protocol.h2load_options, f"http://127.0.0.1:{port}{protocol.path}"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
