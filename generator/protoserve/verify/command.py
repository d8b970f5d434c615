"""`protoserve verify`: from its arguments to a report."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from protoserve.platform.printing import UnwritableError
from protoserve.verify import address, interface
from protoserve.verify.address import Address, Tls, UsageError
from protoserve.verify.checks import CHECKS
from protoserve.verify.checks.base import Check
from protoserve.verify.checks.http import HTTP, as_json, unary
from protoserve.verify.checks.reachable import probe
from protoserve.verify.grpc_client import Client
from protoserve.verify.http_side import HttpSide, routes
from protoserve.verify.interface import Interface
from protoserve.verify.output import FORMATS, terminal
from protoserve.verify.report import Outcome, Report
from protoserve.verify.run import Step, needed, run
from protoserve.verify.sample_requests import Requests, read_requests
from protoserve.verify.session import Session
from protoserve.verify.spec import Spec, load
from protoserve.verify.targets import Started, image
from protoserve.verify.targets.image import VERTEX_HTTP_PORT, ImageServer
from protoserve.verify.targets.project import ProjectServer

# What a run may take beside waiting for the server: with the default timeout, 60 seconds in all.
BESIDES = 40.0


def main(given: argparse.Namespace) -> int:
    """Exit code 0 when no check failed, 1 when one did, 2 when the run could not begin."""
    # A stop from outside ends the run as Ctrl-C does: what was started is ended, and what was found is printed.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        report = verify(given)
        FORMATS[given.format](report, CHECKS)
    except UsageError as error:
        print(f"protoserve: {error}", file=sys.stderr)
        return 2
    except UnwritableError as error:
        print(f"protoserve: the report cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return report.exit_code


def verify(given: argparse.Namespace) -> Report:
    """The report of a run with these arguments. Raises UsageError."""
    started = time.monotonic()
    ends: float = started + given.timeout + BESIDES
    kind, name = _target(given)
    checks = _chosen(given, kind)
    spec = None if given.spec is None else load(given.spec, given.region)
    os.environ.update({} if spec is None else spec.variables)  # what the platform will set by it
    outcomes: list[Outcome] = []
    stopped, sent = "", 0
    try:
        with ExitStack() as stack:
            show = stack.enter_context(terminal.progress(CHECKS) if given.format == "terminal" else nullcontext(quiet))

            def left() -> float:
                return max(0.0, ends - time.monotonic())

            def progress(name: str, outcome: Outcome | None) -> None:
                if outcome is not None:
                    outcomes.append(outcome)  # first: whatever is shown is in the report of an interrupted run
                show(name, outcome)

            session = None if kind == "spec" else stack.enter_context(_session(given, kind, ends))
            try:
                run([_step(check, spec, session) for check in checks], left, progress, given.skip)
            finally:
                if session is not None:
                    sent = session.client.requests + (session.web.requests if session.web is not None else 0)
    except KeyboardInterrupt:  # while something is closed, too
        stopped = "interrupted"
    seconds = time.monotonic() - started
    return Report(name, given.platform, tuple(outcomes), sent, seconds, stopped)


def _step(check: Check, spec: Spec | None, session: Session | None) -> Step:
    """The check of a specification gets that and, where there is a target, the session; any other the session."""
    return Step(check, partial(check.run, spec, session) if "spec" in check.kinds else partial(check.run, session))


def quiet(name: str, outcome: Outcome | None) -> None:
    """Progress that nobody sees."""


def _target(given: argparse.Namespace) -> tuple[str, str]:
    """What kind of target it is, and its name."""
    if given.image is not None:
        if given.target is not None or given.http is not None:
            raise UsageError("--image is a target of its own: leave HOST:PORT, the folder or --http away")
        return "image", given.image
    if given.target is None and given.http is not None:
        return "address", given.http
    if given.target is None and given.spec is not None:
        return "spec", str(given.spec)
    if given.target is None:
        raise UsageError("say what to verify: HOST:PORT, a project's folder, --image IMAGE, or --spec FILE")
    if address.parse(given.target) is not None:
        return "address", given.target
    if Path(given.target).is_dir():
        if not Path(given.target, "schema.yaml").is_file():
            raise UsageError(f"{given.target} is no project of protoserve: it has no schema.yaml")
        return "project", given.target
    raise UsageError(f"{given.target} is no HOST:PORT and no folder")


@contextmanager
def _session(given: argparse.Namespace, kind: str, ends: float) -> Iterator[Session]:
    """A session with the target, which is started where it is a project, and ended whatever happens."""
    with ExitStack() as stack:
        process: Started | None = None
        web: HttpSide | None = None
        began = time.monotonic()
        folder = Path(given.target) if kind == "project" else given.project
        contract = _contract(given, folder)

        def left() -> float:
            return max(0.0, ends - time.monotonic())

        if kind == "project":
            process = ProjectServer(Path(given.target))
            stack.callback(process.close)
            process.start()
            where = process.address
        elif kind == "image":
            container = _container(given)
            stack.callback(container.close)
            container.start()
            process, began = container, container.started
            web = _of_container(container, _instance(given, contract, folder), left, given, stack)
            where = container.address
        else:
            found = address.parse(given.target, _tls(given)) if given.target is not None else _http(given)
            assert found is not None
            where = found
        if given.http is not None:
            web = HttpSide(_http(given), left, alone=given.target is None, instance=_instance(given, None, None))
            stack.callback(web.close)
        client = Client(where, left)
        stack.callback(client.close)
        session = Session(where, client, given.timeout, ends, given.platform, process, given.grace, started=began)
        session.interface, session.web = contract, web
        session.request_files = tuple(given.request)
        session.project = folder
        if session.interface is not None:
            session.set_requests()  # a wrong file is told before anything is sent
        yield session


def _contract(given: argparse.Namespace, folder: Path | None) -> Interface | None:
    """The contract from the files that were given, None where reflection must tell it. Raises UsageError."""
    if given.proto is not None:
        return interface.from_proto(given.proto, given.includes)
    return None if folder is None else interface.from_project(folder)


def _container(given: argparse.Namespace) -> ImageServer:
    """The image's container, with what the platform sets. Raises UsageError."""
    variables = {}
    if given.platform == "vertex":
        variables = {"AIP_HTTP_PORT": str(VERTEX_HTTP_PORT), "AIP_STORAGE_URI": "", **routes()}
    options = image.Options(given.docker, given.port, given.memory, given.writable)
    return ImageServer(given.image, given.platform, options, variables)


def _of_container(
    container: ImageServer, instance: Any, left: Callable[[], float], given: argparse.Namespace, stack: ExitStack
) -> HttpSide | None:
    """Waits until the container listens; its HTTP side, where the platform asks that, is watched from the start."""
    until = container.started + given.timeout
    web = None
    if container.http is not None:
        web = HttpSide(container.published(container.http), left, instance=instance)
        stack.callback(web.close)
        web.watch(until)
    container.find_grpc_port(lambda where: probe(where, 1.0).kind, lambda: web is not None and web.settled(), until)
    if web is not None:
        web.alone = not container.grpc and given.port is None and web.answers()
    return web


def _http(given: argparse.Namespace) -> Address:
    found = address.parse(given.http)
    if found is None or found.tls is not None:
        raise UsageError(f"--http {given.http}: must be HOST:PORT, where it speaks plain HTTP as platforms do")
    return found


def _instance(given: argparse.Namespace, contract: Interface | None, folder: Path | None) -> Any:
    """What --instance says, else a sample of the contract; None without both. Raises UsageError."""
    if given.instance is not None:
        try:
            return json.loads(given.instance.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{given.instance}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{given.instance}: no JSON: {error}") from None
    if contract is None:
        return None
    requests = Requests(contract, read_requests(contract, given.request, folder))
    return next((as_json(method, requests.of(method).data) for method in unary(contract.methods)), None)


def _tls(given: argparse.Namespace) -> Tls | None:
    return Tls(given.ca, given.tls_name) if given.tls or given.ca or given.tls_name else None


def _chosen(given: argparse.Namespace, kind: str) -> list[Check]:
    """The checks that this run asks for. Raises UsageError for an id that is none."""
    known = [check.id for check in CHECKS]
    if unknown := [name for name in (*given.only, *given.skip) if name not in known]:
        raise UsageError(f"there is no check {', '.join(unknown)}; there are: {', '.join(known)}")
    if both := [name for name in given.only if name in given.skip]:
        raise UsageError(f"{both[0]} stands in --only and in --skip: take it out of one")
    wanted = needed(CHECKS, given.only) if given.only else known
    checks = [check for check in CHECKS if check.id in wanted and kind in check.kinds]
    if given.spec is None:
        of_spec = [check.id for check in CHECKS if "spec" in check.kinds]
        if unread := [name for name in given.only if name in of_spec]:
            raise UsageError(f"{unread[0]} looks at a specification: name it with --spec FILE")
        checks = [check for check in checks if check.id not in of_spec]
    asked = {*given.only, *(HTTP if given.http is not None else ())}
    return [check for check in checks if given.platform in check.platforms or check.id in asked]
