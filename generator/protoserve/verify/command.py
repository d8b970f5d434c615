"""`protoserve verify`: from its arguments to a report."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from protoserve.verify import address, interface
from protoserve.verify.address import Tls, UsageError
from protoserve.verify.checks import CHECKS
from protoserve.verify.checks.base import Check
from protoserve.verify.client import Client
from protoserve.verify.output import FORMATS, terminal
from protoserve.verify.report import Outcome, Report
from protoserve.verify.run import Step, needed, run
from protoserve.verify.session import Session
from protoserve.verify.targets import Started
from protoserve.verify.targets.project import ProjectServer

# What a run may take beside waiting for the server: with the default timeout, 60 seconds in all.
BESIDES = 40.0


def main(given: argparse.Namespace) -> int:
    """Exit code 0 when no check failed, 1 when one did, 2 when the run could not begin."""
    # A stop from outside ends the run as Ctrl-C does: what was started is ended, and what was found is printed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = verify(given)
    except UsageError as error:
        print(f"protoserve: {error}", file=sys.stderr)
        return 2
    FORMATS[given.format](report, CHECKS)
    return report.exit_code


def verify(given: argparse.Namespace) -> Report:
    """The report of a run with these arguments. Raises UsageError."""
    started = time.monotonic()
    ends = started + given.timeout + BESIDES
    kind, name = _target(given)
    checks = _chosen(given, kind)
    outcomes: list[Outcome] = []
    stopped, sent = "", 0
    with ExitStack() as stack:
        show = stack.enter_context(terminal.progress(CHECKS) if given.format == "terminal" else nullcontext(quiet))

        def progress(name: str, outcome: Outcome | None) -> None:
            show(name, outcome)
            if outcome is not None:
                outcomes.append(outcome)

        try:
            session = stack.enter_context(_session(given, kind, ends))
            try:
                run([Step(check, partial(check.run, session)) for check in checks], session.left, progress, given.skip)
            finally:
                sent = session.client.requests
        except KeyboardInterrupt:
            stopped = "interrupted"
    return Report(name, given.platform, tuple(outcomes), sent, time.monotonic() - started, stopped)


def quiet(name: str, outcome: Outcome | None) -> None:
    """Progress that nobody sees."""


def _target(given: argparse.Namespace) -> tuple[str, str]:
    """What kind of target it is, and its name."""
    if given.target is None:
        raise UsageError("say what to verify: HOST:PORT, or a project's folder")
    if address.parse(given.target) is not None:
        return "address", given.target
    if Path(given.target).is_dir():
        return "project", given.target
    raise UsageError(f"{given.target} is no HOST:PORT and no folder")


@contextmanager
def _session(given: argparse.Namespace, kind: str, ends: float) -> Iterator[Session]:
    """A session with the target, which is started where it is a project, and ended whatever happens."""
    with ExitStack() as stack:
        process: Started | None = None
        if kind == "project":
            process = ProjectServer(Path(given.target))
            stack.callback(process.close)
            where = process.address
        else:
            found = address.parse(given.target, _tls(given))
            assert found is not None
            where = found
        client = Client(where, lambda: max(0.0, ends - time.monotonic()))
        stack.callback(client.close)
        session = Session(where, client, given.timeout, ends, given.platform, process)
        folder = Path(given.target) if kind == "project" else given.project
        if given.proto is not None:
            session.interface = interface.from_proto(given.proto, given.includes)
        elif folder is not None:
            session.interface = interface.from_project(folder)
        session.given = tuple(given.request)
        session.project = folder
        if session.interface is not None:
            session.set_requests()  # a wrong file is told before anything is sent
        yield session


def _tls(given: argparse.Namespace) -> Tls | None:
    return Tls(given.ca, given.tls_name) if given.tls or given.ca or given.tls_name else None


def _chosen(given: argparse.Namespace, kind: str) -> list[Check]:
    """The checks that this run asks for. Raises UsageError for an id that is none."""
    known = [check.id for check in CHECKS]
    if unknown := [name for name in (*given.only, *given.skip) if name not in known]:
        raise UsageError(f"there is no check {', '.join(unknown)}; there are: {', '.join(known)}")
    wanted = needed(CHECKS, given.only) if given.only else known
    checks = [check for check in CHECKS if check.id in wanted and kind in check.kinds]
    return [check for check in checks if given.platform in check.platforms or check.id in given.only]
