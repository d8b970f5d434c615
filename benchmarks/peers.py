"""Requests a second, health and lost replies of the generated server and of others that a user could pick instead.

    python benchmarks/peers.py [--servers NAME ...] [--models sklearn onnx] [--protocols grpc http]
                               [--parts rates promises] [--rounds 9] [--seconds 0.5] [--json FILE] [--plot FILE]

All serve the same model, one row in each request, with 1, 16 and 64 of them in flight; those from the package index in
environments of their own, which are kept in a cache. See docs/performance.md for the method and the results.

- rates: all servers run all the time, pinned to one core, the clients to another. A round has a turn of each server at
  each number in flight, in an order that is reversed from round to round. The table has the medians of the rates, and
  of the ratios within the rounds to the first server. Every reply of h2load must have the status and the size of a
  right one, and replies to other rows, asked for beside them, must have the model's probabilities.
- promises: each server alone. The slowest answer of its health, asked 50 times a second: under 64 in flight, and while
  the model holds Python's interpreter lock for 2 s. And how many of the 64 calls in flight at a SIGTERM get no right
  reply.

A server that cannot be installed or started, or whose replies are wrong, has no figures but the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(1, str(Path(__file__).resolve().parent / "peer_servers"))

import h2load
import peer_promises
import peer_rates
import peer_tables
from peer_catalog import (
    OWN_SERVERS,
    PEERS,
    Projects,
    Protocol,
    Unavailable,
    environment,
    install,
    own_protocols,
    own_server,
    peer_server,
)
from peer_check import KnownRows
from running import CLIENT_CORE, Server, pin

from support import Project

IN_FLIGHT = (1, 16, 64)
HOLDING = """

# Added by the benchmark: one row lets the model hold the interpreter lock.
import ctypes as _ctypes

_predict = Model.predict


def _predict_or_hold(self: Model, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
    if batch[0].sepal_length == 29.5:
        _ctypes.PyDLL(None).sleep(2)
    return _predict(self, batch)


Model.predict = _predict_or_hold
"""


@dataclass
class Bench:
    """What all parts share: the projects, and how each server is started."""

    projects: Projects
    cache: Path
    folder: Path
    versions: dict[str, dict[str, str]]

    @contextmanager
    def running(self, name: str, framework: str, protocol: str, **settings: str) -> Iterator[tuple[Server, Protocol]]:
        """A server that answers; raises Unavailable with the reason if it does not."""
        with ExitStack() as stack:
            if own := OWN_SERVERS.get(name):
                project = self.projects.project(framework, web=own.web or protocol == "http")
                project = _holding(project) if settings else project
                server = stack.enter_context(own_server(own, project, self.projects.artifact(framework), **settings))
                yield server, own_protocols(own, self.projects.stubs(framework))[protocol]
                return
            peer = PEERS[name]
            python, self.versions[name] = install(peer, self.cache)
            place = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{name}-"))
            artifact = self.projects.artifact(framework)
            server = stack.enter_context(peer_server(peer, python, artifact, place, **settings))
            yield server, peer.protocols[protocol]


def main() -> int:
    arguments = _arguments()
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.show] or [_measure(arguments)]
    for report in reports:
        print(peer_tables.markdown(report))
    if arguments.plot:
        _plot(reports, arguments)
    return 0


def _arguments() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protoserve-benchmarks"
    parser = argparse.ArgumentParser(description="The generated server and others, side by side.")
    names = [*OWN_SERVERS, *PEERS]
    compared = [name for name in names if name != "protoserve-web"]
    parser.add_argument("--servers", nargs="+", choices=names, default=compared, help="the first is the base of ratios")
    parser.add_argument("--models", nargs="+", choices=["sklearn", "onnx"], default=["sklearn", "onnx"])
    parser.add_argument("--protocols", nargs="+", choices=["grpc", "http"], default=["grpc", "http"])
    parser.add_argument("--parts", nargs="+", choices=["rates", "promises"], default=["rates", "promises"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long a turn takes")
    parser.add_argument("--cache", type=Path, default=cache, help="where the environments are kept")
    parser.add_argument("--json", type=Path, help="a file for the results")
    parser.add_argument(
        "--plot", type=Path, help="an SVG file for the rates, drawn by matplotlib in an environment of its own"
    )
    parser.add_argument(
        "--show", nargs="+", type=Path, default=[], help="show the results in these files, measure nothing"
    )
    return parser.parse_args()


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    h2load.require()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Projects(Path(temporary)), arguments.cache, Path(temporary), {})
        pin(0, CLIENT_CORE)
        results = [
            MEASURES[part](bench, model, protocol, arguments)
            for model in arguments.models
            for protocol in arguments.protocols
            for part in arguments.parts
        ]
    report = {
        "date": date.today().isoformat(),
        "machine": _machine(),
        "rounds": arguments.rounds,
        "versions": bench.versions,
        "results": results,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _rates(bench: Bench, model: str, protocol: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All servers side by side."""
    reasons: dict[str, str] = {}
    contenders = []
    with ExitStack() as stack:
        for name in _asked(arguments.servers, protocol):
            print(f"rates: {name}, {model} over {protocol}", file=sys.stderr)
            try:
                server, asked = stack.enter_context(bench.running(name, model, protocol))
            except Unavailable as reason:
                reasons[name] = str(reason)
                continue
            contenders.append(peer_rates.Contender(name, server, asked))
        known = KnownRows.of(bench.projects.artifact(model))
        peer_rates.measure(contenders, known, IN_FLIGHT, arguments.rounds, arguments.seconds)
    measured = [contender for contender in contenders if not contender.problem]
    reasons |= {contender.name: contender.problem for contender in contenders if contender.problem}
    servers = {contender.name: peer_rates.summary(contender, measured[0]) for contender in measured}
    checked = sum(contender.checked for contender in measured)
    return {
        "part": "rates",
        "model": model,
        "protocol": protocol,
        "servers": servers,
        "without_figures": reasons,
        "checked_replies": checked,
    }


def _promises(bench: Bench, model: str, protocol: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Each server alone, and a new one for each measure, since the first may leave it broken."""
    known = KnownRows.of(bench.projects.artifact(model))
    servers: dict[str, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    for name in _asked(arguments.servers, protocol):
        found = servers.setdefault(name, {})
        print(f"promises: {name}, {model} over {protocol}", file=sys.stderr)
        try:
            with bench.running(name, model, protocol, HOLD_GIL="1") as (server, asked):
                if asked.health_path:
                    found["health_under_load"] = peer_promises.health_under_load(server, asked)
                    found["health_under_a_held_lock"] = peer_promises.health_under_a_held_lock(server, asked)
            with bench.running(name, model, protocol) as (server, asked):
                found["sigterm"] = peer_promises.lost_at_sigterm(server, asked, known)
        except Exception as error:  # whatever a server or a client does
            reasons[name] = f"{type(error).__name__}: {error}"[:500]
    return {"part": "promises", "model": model, "protocol": protocol, "servers": servers, "without_figures": reasons}


MEASURES = {"rates": _rates, "promises": _promises}


def _asked(names: Sequence[str], protocol: str) -> list[str]:
    """Those that have the protocol; the first is the base of the ratios."""
    return [
        name
        for name in names
        if protocol in (OWN_SERVERS[name].protocol_names if name in OWN_SERVERS else PEERS[name].protocols)
    ]


def _holding(project: Project) -> Project:
    """A copy of a project whose model holds the interpreter lock for one row."""
    path = project.path.with_name(f"{project.path.name}-holding")
    if not path.exists():
        shutil.copytree(project.path, path)
        with (path / "src" / "iris" / "model.py").open("a", encoding="utf-8") as file:
            file.write(HOLDING)
    return Project(path, project.package)


def _machine() -> str:
    """The processor, its cores, and the versions of the system and of Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = f"{names[0]}, {len(names)} cores" if names else platform.processor()
    return f"{processor}; {platform.system()} {platform.release()}; Python {platform.python_version()}"


def _plot(reports: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    python = environment("matplotlib", ("matplotlib==3.10.7",), sys.executable, arguments.cache)
    script = Path(__file__).resolve().parent / "peers_plot.py"
    results = [
        {
            "title": peer_tables.title(result),
            "titles": {name: peer_tables.server_title(name) for name in result["servers"]},
            "servers": result["servers"],
        }
        for report in reports
        for result in report["results"]
        if result["part"] == "rates"
    ]
    subprocess.run([python, script, arguments.plot], input=json.dumps(results), text=True, check=True)


if __name__ == "__main__":
    sys.exit(main())
