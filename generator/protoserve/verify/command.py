"""`protoserve verify`: finds the target, starts it if necessary, runs the checks and prints the report."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from protoserve.platform.printing import UnwritableError
from protoserve.platform.reading import UnreadableFileError, read_text
from protoserve.verify import address, interface, json_text, metadata, unused_options
from protoserve.verify.address import Address, Tls, UsageError
from protoserve.verify.checks import CHECKS, stopping
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.http_requests import HTTP, as_json, unary
from protoserve.verify.grpc_client import Client
from protoserve.verify.http_client import HttpClient, routes
from protoserve.verify.interface import Interface
from protoserve.verify.metadata import Metadata
from protoserve.verify.output import FORMATS, terminal
from protoserve.verify.protocol_detection import detect
from protoserve.verify.report import Outcome, Report, shortened
from protoserve.verify.run import Step, needed, run
from protoserve.verify.sample_requests import Requests, read_requests
from protoserve.verify.session import Session
from protoserve.verify.side_effects import left_alone
from protoserve.verify.spec import Spec, load
from protoserve.verify.targets import Started, image
from protoserve.verify.targets.command import CommandServer
from protoserve.verify.targets.image import VERTEX_HTTP_PORT, ImageServer
from protoserve.verify.targets.project import ProjectServer

# What a run may take besides waiting for the server: with the default timeout, 60 seconds in total.
CHECK_SECONDS = 40.0
MakeHttp = Callable[..., HttpClient]  # from an address; what all have in common is bound


def main(options: argparse.Namespace) -> int:
    """Exit code 0 if no check failed, 1 if one did, 2 if the report cannot be written, 3 if the run is unjudged.

    Raises UsageError if the run cannot begin.
    """
    # These signals end the run as Ctrl-C does: the server is stopped, and the outcomes so far are printed.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        report = verify(options)
        FORMATS[options.format](report, CHECKS)
    except UnwritableError as error:
        print(f"protoserve: the report cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return report.exit_code


def verify(options: argparse.Namespace) -> Report:
    """The report of a run with these arguments. Raises UsageError."""
    started = time.monotonic()
    ends: float = started + options.timeout + CHECK_SECONDS
    secrets = metadata.read(options.metadata)
    try:
        return _verified(options, started, ends, secrets)
    except UsageError as error:
        raise UsageError(secrets.hide(str(error))) from None


def _verified(options: argparse.Namespace, started: float, ends: float, secrets: Metadata) -> Report:
    kind, name = _target(options)
    unused_options.refuse(options, kind)
    checks = _checks(options, kind)
    spec = None if options.spec is None else load(options.spec, options.region)
    os.environ.update({} if spec is None else spec.variables)  # as the platform will set them
    outcomes: dict[str, Outcome] = {}  # by check
    stopped, sent = "", 0
    try:
        with ExitStack() as stack:
            show = stack.enter_context(
                terminal.progress(CHECKS) if options.format == "terminal" else nullcontext(_no_progress)
            )

            def left() -> float:
                return max(0.0, ends - time.monotonic())

            def progress(name: str, outcome: Outcome | None) -> None:
                if outcome is not None:
                    outcome = shortened(secrets.hide_in(outcome))
                    outcomes[name] = outcome  # before it is shown, so that an interrupted run reports it
                show(name, outcome)

            session = None if kind == "spec" else stack.enter_context(_session(options, kind, ends, left, secrets))
            try:
                run([_step(check, spec, session) for check in checks], left, progress, options.skip)
            finally:
                if session is not None:
                    sent = session.client.requests + (session.web.requests if session.web is not None else 0)
    except KeyboardInterrupt:  # also while the server is stopped
        stopped = "interrupted"
    seconds = time.monotonic() - started
    return Report(secrets.hide(name), options.platform, tuple(outcomes.values()), sent, seconds, stopped)


def _step(check: Check, spec: Spec | None, session: Session | None) -> Step:
    """A check of specifications gets the specification and, with a target, the session; others get the session."""
    judge = partial(check.run, spec, session) if "spec" in check.kinds else partial(check.run, session)
    return Step(check, judge if session is None else partial(stopping.judged, check, session, judge))


def _no_progress(name: str, outcome: Outcome | None) -> None:
    """Shows nothing: only the terminal's form shows progress."""


def _target(options: argparse.Namespace) -> tuple[str, str]:
    """The kind of target (address, project, command, image, spec) and its name. Raises UsageError."""
    if options.server_command:
        if options.target is not None or options.image is not None:
            raise UsageError("a command after -- is a target of its own: remove HOST:PORT, the folder or --image")
        return "command", shlex.join(options.server_command)
    if options.image is not None:
        if options.target is not None or options.http is not None:
            raise UsageError("--image is a target of its own: remove HOST:PORT, the folder or --http")
        return "image", options.image
    if options.target is None and options.http is not None:
        return "address", options.http
    if options.target is None and options.spec is not None:
        return "spec", str(options.spec)
    if options.target is None:
        raise UsageError("say what to verify: HOST:PORT, a project's folder, -- COMMAND, --image IMAGE, or --spec FILE")
    if address.parse(options.target) is not None:
        return "address", options.target
    if Path(options.target).is_dir():
        if not Path(options.target, "schema.yaml").is_file():
            raise UsageError(f"{options.target} is not a protoserve project: it has no schema.yaml")
        return "project", options.target
    raise UsageError(f"{options.target} is neither HOST:PORT, unix:PATH, dns:///HOST:PORT nor a folder")


@contextmanager
def _session(
    options: argparse.Namespace, kind: str, ends: float, left: Callable[[], float], sent: Metadata
) -> Iterator[Session]:
    """A session with the target. A server that it starts is always stopped at the end."""
    with ExitStack() as stack:
        process: Started | None = None
        web: HttpClient | None = None
        http = partial(HttpClient, left=left, metadata=sent)
        started = time.monotonic()
        project = Path(options.target) if kind == "project" else options.project
        contract = _contract(options, project)
        if kind == "project":
            process = ProjectServer(Path(options.target))
            stack.callback(process.close)
            process.start()
            server = process.address
        elif kind == "command":
            command = _command(options)
            stack.callback(command.close)
            command.start()
            process, started = command, command.started
            web = _wait_for_command(command, _instance(options, contract, project), http, options, stack)
            server = command.address
        elif kind == "image":
            container = _container(options)
            stack.callback(container.close)
            container.start()
            process, started = container, container.started
            web = _wait_for_ports(container, _instance(options, contract, project), http, options, stack)
            server = container.address
        else:
            server = _server_address(options)
        if options.http is not None:
            alone = kind == "address" and options.target is None
            web = http(_http_address(options), alone=alone, instance=_instance(options, None, None))
            stack.callback(web.close)
        client = Client(server, left, sent)
        stack.callback(client.close)
        session = Session(
            server, client, options.timeout, ends, options.platform, process, options.grace, started=started
        )
        session.interface, session.web, session.metadata = contract, web, sent
        session.request_files = tuple(options.request)
        session.call, session.no_call = tuple(options.call), tuple(options.no_call)
        session.project = project
        if session.interface is not None:
            session.prepare_calls()  # reports an invalid file before anything is sent
        yield session


def _server_address(options: argparse.Namespace) -> Address:
    """Where a running server speaks gRPC; that of --http if no target is options."""
    server = None if options.target is None else address.parse(options.target, _tls(options))
    return _http_address(options) if server is None else server


def _contract(options: argparse.Namespace, project: Path | None) -> Interface | None:
    """The contract in the files of the arguments, None if it must come from reflection. Raises UsageError."""
    if options.proto is not None:
        return interface.from_proto(options.proto, options.includes)
    return None if project is None else interface.from_project(project)


def _command(options: argparse.Namespace) -> CommandServer:
    """The server of the command, with the variables that the platform sets. Raises UsageError."""
    has_http = options.platform == "vertex" and options.http is None
    variables = {"AIP_STORAGE_URI": os.environ.get("AIP_STORAGE_URI", ""), **routes()} if has_http else {}
    return CommandServer(options.server_command, variables, port=options.port, has_http=has_http)


def _wait_for_command(
    command: CommandServer,
    instance: Any,
    http: Callable[..., HttpClient],
    options: argparse.Namespace,
    stack: ExitStack,
) -> HttpClient | None:
    """The HTTP side of the command's server, watched from its start; None if the platform does not ask it.

    Waits until it is known whether the server speaks HTTP only.
    """
    if command.http is None:
        return None
    until = command.started + options.timeout
    web = http(Address(command.address.host, command.http), instance=instance)
    stack.callback(web.close)
    web.watch(until)
    web.alone = not command.find_grpc(web.settled, until) and web.answers()
    return web


def _container(options: argparse.Namespace) -> ImageServer:
    """The image's container, with the variables that the platform sets. Raises UsageError."""
    variables = {}
    if options.platform == "vertex":
        variables = {"AIP_HTTP_PORT": str(VERTEX_HTTP_PORT), "AIP_STORAGE_URI": "", **routes()}
    run_options = image.Options(options.docker, options.port, options.memory, options.writable)
    return ImageServer(options.image, options.platform, run_options, variables)


def _wait_for_ports(
    container: ImageServer,
    instance: Any,
    http: Callable[..., HttpClient],
    options: argparse.Namespace,
    stack: ExitStack,
) -> HttpClient | None:
    """Waits until the container listens. Returns its HTTP side, watched from the start, if the platform asks it."""
    until = container.started + options.timeout
    web = None
    if container.http is not None:
        web = http(container.published(container.http), instance=instance)
        stack.callback(web.close)
        web.watch(until)
    container.find_grpc_port(
        lambda port_address: detect(port_address, 1.0).kind, lambda: web is not None and web.settled(), until
    )
    if web is not None:
        web.alone = not container.grpc and options.port is None and web.answers()
    return web


def _http_address(options: argparse.Namespace) -> Address:
    server = address.parse(options.http)
    if server is None or server.tls is not None or server.target:
        raise UsageError(f"--http {options.http}: must be HOST:PORT of a server that speaks plain HTTP")
    return server


def _instance(options: argparse.Namespace, contract: Interface | None, project: Path | None) -> Any:
    """The instance in the file of --instance, else a sample of the contract; None without both. Raises UsageError."""
    if options.instance is not None:
        try:
            return json_text.parse(read_text(options.instance))
        except UnreadableFileError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{options.instance}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{options.instance}: not valid JSON: {error}") from None
    if contract is None:
        return None
    requests = Requests(contract, read_requests(contract, options.request, project))
    excluded = left_alone(contract, options.call, options.no_call)
    methods = (method for method in unary(contract.methods) if method.path not in excluded)
    return next((as_json(method, requests.of(method).data) for method in methods), None)


def _tls(options: argparse.Namespace) -> Tls | None:
    return Tls(options.ca, options.tls_name) if options.tls or options.ca or options.tls_name else None


def _checks(options: argparse.Namespace, kind: str) -> list[Check]:
    """The checks of this run, in their order. Raises UsageError for an unknown id."""
    ids = [check.id for check in CHECKS]
    if unknown := [name for name in (*options.only, *options.skip) if name not in ids]:
        raise UsageError(f"unknown check {', '.join(unknown)}; the checks are: {', '.join(ids)}")
    if both := [name for name in options.only if name in options.skip]:
        raise UsageError(f"{both[0]} is in --only and in --skip: remove it from one of them")
    spec_ids = [check.id for check in CHECKS if "spec" in check.kinds]
    if options.spec is None and (without_spec := [name for name in options.only if name in spec_ids]):
        raise UsageError(f"{without_spec[0]} checks a specification: name it with --spec FILE")

    selected = needed(CHECKS, options.only) if options.only else ids
    explicit = {*options.only, *(HTTP if options.http is not None else ())}  # whatever the platform
    return [
        check
        for check in CHECKS
        if check.id in selected
        and kind in check.kinds
        and (options.spec is not None or check.id not in spec_ids)
        and (options.platform in check.platforms or check.id in explicit)
    ]
