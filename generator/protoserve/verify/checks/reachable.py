"""`reachable`: the host resolves, the port accepts connections, and the server there speaks gRPC over HTTP/2."""

from __future__ import annotations

import ipaddress
import re
import shlex
import socket
import time
from dataclasses import replace

import grpc

from protoserve.verify import health_client
from protoserve.verify.address import Address
from protoserve.verify.checks import credentials
from protoserve.verify.checks.check import Check
from protoserve.verify.grpc_client import clipped
from protoserve.verify.protocol_detection import Answerer, Detection, detect
from protoserve.verify.readiness import wait_while_starting
from protoserve.verify.report import Finding, Verdict, failed, passed, unjudged
from protoserve.verify.session import Session
from protoserve.verify.targets import Started
from protoserve.verify.targets.command import CommandServer
from protoserve.verify.targets.crash_causes import crash_cause
from protoserve.verify.targets.process import ProcessServer
from protoserve.verify.traffic import NO_SUCH_METHOD

_PROBE_TIMEOUT = 3.0
_PAUSE = 0.2
_FIRST_PAUSE = 0.02  # for a server that this run started: what it answers first counts
# Such a server may still be starting, and is probed again; what speaks another protocol will keep doing so.
_MAY_BE_STARTING = (
    Answerer.REFUSED,
    Answerer.CLOSED,
    Answerer.SILENT,
    Answerer.BLOCKED,
    Answerer.BREAKS,
    Answerer.UNREACHABLE,
    Answerer.GATEWAY,
)
# How gRPC's client describes an answer that came over HTTP/2 but not from a gRPC server.
_NOT_GRPC = re.compile(r"http2 header with status: (\d+)|Data frame with END_STREAM flag received")
_REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def run(session: Session) -> Finding:
    if session.web is not None and session.web.alone:
        return Finding(Verdict.SKIP, f"{session.web.address} speaks HTTP only", blocks=True)
    started = time.monotonic()
    result, listened = _probe_until_started(session)
    if result.kind is Answerer.GRPC and session.process is not None:
        wait_while_starting(session)  # it may listen, fail to load its model, and end
    if session.process is not None and session.process.ended():
        last_words = session.process.exit_report()
        when = f"{session.age():.1f} s after its start" + ("" if listened else ", before it listened")
        return failed(f"the server ended by itself, {when}: {last_words}", *crash_cause(last_words))
    if result.kind is Answerer.GRPC:
        protocol = "TLS" if session.address.tls else "plain text"
        seconds = time.monotonic() - started
        return passed(f"{session.address} speaks gRPC over HTTP/2 in {protocol}, after {seconds:.2f} s")
    if result.kind is Answerer.DENIES:
        seen = f"{session.address}: {result.seen}: a proxy or web server there refuses its callers"
        return replace(unjudged(seen, credentials.give(session)), blocks=True)
    return _not_reachable(session, result)


def _probe_until_started(session: Session) -> tuple[Detection, bool]:
    """The last result, and whether the server ever accepted a connection."""
    deadline, listened = session.started + session.timeout, False
    pause = _FIRST_PAUSE if isinstance(session.process, ProcessServer) else _PAUSE
    while True:
        result = detect(session.address, min(_PROBE_TIMEOUT, session.left()))
        if result.kind is Answerer.HTTP2:
            result = _probe_grpc(session)
        listened = listened or result.kind not in (Answerer.REFUSED, Answerer.UNREACHABLE)
        final = result.kind not in _MAY_BE_STARTING or session.server_ended() or _serves_elsewhere(session, result)
        if final or time.monotonic() >= deadline or not session.left():
            return result, listened
        time.sleep(pause)


def _serves_elsewhere(session: Session, result: Detection) -> bool:
    """A port of a container that nothing holds may be open: the engine's proxy takes and closes connections."""
    is_closed = result.kind in (Answerer.REFUSED, Answerer.CLOSED)
    return is_closed and session.process is not None and session.process.serves_elsewhere()


def _probe_grpc(session: Session) -> Detection:
    """Whether any of several paths is answered as gRPC does, even if only with UNIMPLEMENTED."""
    answers: list[str] = []
    statuses: set[str] = set()
    for path in dict.fromkeys((health_client.CHECK, _REFLECTION, *(method.path for method in session.methods[:1]))):
        reply = session.client.call(path, b"", health_client.CHECK_TIMEOUT, many=path != health_client.CHECK)
        if "failed to connect" in reply.details:
            kind = Answerer.CERTIFICATE if "handshake failed" in reply.details.lower() else Answerer.CLOSED
            return Detection(kind, f"gRPC's client cannot connect: {clipped(reply.details)}")
        if reply.connection_lost:
            return Detection(Answerer.BREAKS, f"it speaks HTTP/2, but the connection broke: {reply}")
        if "Failed parsing HTTP/2" in reply.details:
            return Detection(Answerer.OTHER, f"it begins as an HTTP/2 server, and then sends something else: {reply}")
        match = _NOT_GRPC.search(reply.details)
        if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and _is_silent(session):
            return Detection(Answerer.BLOCKED, f"it speaks HTTP/2, but answers no call: {reply}")
        if reply.ok or match is None:
            return Detection(Answerer.GRPC)
        if match[1]:  # gRPC's client may report the body that follows a status instead of the status
            statuses.add(match[1])
        answers.append(f"{path} with " + (f"HTTP status {match[1]}" if match[1] else "a page that is not gRPC"))
    kind = Answerer.DENIES if statuses and statuses <= {"401", "403"} else Answerer.NOT_GRPC
    kind = Answerer.GATEWAY if statuses & {"502", "503", "504"} else kind
    return Detection(kind, "it speaks HTTP/2, and answers " + ", ".join(answers))


def _is_silent(session: Session) -> bool:
    """Whether not even a call of a method that does not exist is answered, which needs no worker."""
    control = session.client.call(NO_SUCH_METHOD, b"", health_client.CHECK_TIMEOUT)
    return control.code is grpc.StatusCode.DEADLINE_EXCEEDED


def _not_reachable(session: Session, result: Detection) -> Finding:
    address, port = session.address, session.address.port
    seen = f"{address}: {result.seen}"
    if result.kind in _MAY_BE_STARTING and session.process is not None:
        if listens_on := session.process.listens_elsewhere():
            return _listens_elsewhere(session.process, seen, listens_on)
        seen += f"; {session.process.exit_report()}"
    if result.kind is Answerer.REFUSED and not address.socket_path and (loopback := _open_on_loopback(address)):
        return failed(f"{seen}, while {loopback} is open", _LOOPBACK, _BIND.format(port=port))
    if address.socket_path and result.kind in _SOCKET_CAUSES:
        return failed(seen, *_SOCKET_CAUSES[result.kind])
    cause, remedy = _CAUSES[result.kind]
    return failed(seen, cause, remedy.format(address=address, port=port))


def _listens_elsewhere(process: Started, seen: str, listens_on: str) -> Finding:
    number = listens_on.partition(",")[0].rpartition(":")[2]
    if "not on port" not in listens_on:
        return failed(f"{seen}; {_inside(process)}it listens on {listens_on}", _LOOPBACK, _BIND.format(port=number))
    if not isinstance(process, CommandServer):
        cause, remedy = _OTHER_PORT
        return failed(f"{seen}; {_inside(process)}it listens on {listens_on}", cause, remedy.format(port=number))
    port = process.address.port
    return failed(
        f"{seen}; the command listens on {listens_on}",
        f"The command listens on {number}, not on {port}, which it was given in the variable PORT"
        + (" and in its arguments." if any("{port}" in word for word in process.words) else "."),
        f"""
        Read the port from the variable PORT:
            server.add_insecure_port(f"[::]:{{os.environ['PORT']}}")
        or pass it in an argument, where {{port}} stands for the number:
            protoserve verify ... -- {process.words[0]} ... --port {{port}}
        For a server whose port cannot be set, name it:
            protoserve verify --port {number} ... -- {shlex.join(process.words)}
        """,
    )


def _inside(process: Started) -> str:
    return "" if isinstance(process, ProcessServer) else "inside, "


def _open_on_loopback(address: Address) -> Address | None:
    """The same port of the loopback, if that is open and the host is this machine under another address."""
    try:
        host = str(socket.getaddrinfo(address.host, None, type=socket.SOCK_STREAM)[0][4][0])
        family, loopback = (socket.AF_INET6, "::1") if ":" in host else (socket.AF_INET, "127.0.0.1")
        if ipaddress.ip_address(host) == ipaddress.ip_address(loopback):
            return None
        with socket.socket(family, socket.SOCK_DGRAM) as test_socket:
            test_socket.bind((host, 0))  # works only for this machine's own addresses
        with socket.create_connection((loopback, address.port), 1.0):
            return replace(address, host=loopback)
    except (OSError, ValueError):
        return None


_LOOPBACK = (
    "The server is bound to the loopback address (127.0.0.1, localhost or ::1): only its own machine or container can "
    "connect to it, and no platform can."
)
_BIND = """
    Bind to all addresses:
        server.add_insecure_port("0.0.0.0:{port}")   # or "[::]:{port}", which accepts IPv4 too
    """
_LOAD_ELSEWHERE = """
    Start the server before you load the model, and load it outside the event loop:
        await server.start()
        model = await asyncio.to_thread(load)
    """
_OTHER_PORT = (
    "The server does not listen on the port that the platform sets (PORT, or AIP_HTTP_PORT on Vertex AI).",
    """
    Read the port from the environment, or EXPOSE the fixed one of an image:
        server.add_insecure_port(f"[::]:{{os.environ['PORT']}}")
        EXPOSE {port}
    With a fixed port, name it in the platform's specification, and here: --port {port}
    """,
)
_CAUSES = {
    Answerer.UNRESOLVED: ("The host name is wrong, or this machine's DNS does not know it.", "Check the name."),
    Answerer.REFUSED: (
        "No server listens on this port: it has not started, it has ended, or it uses another port.",
        """
        Look at the server's log, and at the port that it binds:
            server.add_insecure_port("0.0.0.0:{port}")
            server.start()
        """,
    ),
    Answerer.UNREACHABLE: (
        "The host or the network does not answer: the address is wrong, a firewall drops packets, or the port is not "
        "published.",
        "Check the address. A container's port must be published: docker run -p {port}:{port} ...",
    ),
    Answerer.CLOSED: (
        "Something accepts the connection and drops it at once: a port that is published for a container in which "
        "nothing listens on it (or only on the loopback), or a proxy without a server behind it.",
        _BIND,
    ),
    Answerer.SILENT: (
        "The port is open, but nothing serves it: the process hangs (for example, because loading the model blocks the "
        "event loop), server.start() was never called, or this is not a gRPC server.",
        _LOAD_ELSEWHERE,
    ),
    Answerer.BLOCKED: (
        "The server takes connections, but answers nothing, not even a call of a method that does not exist: its event "
        "loop is blocked (loading a model on it does that), or the process stands still.",
        _LOAD_ELSEWHERE,
    ),
    Answerer.BREAKS: (
        "The server takes the connection, and ends or closes it when it is called.",
        "Look at the server's log and exit code.",
    ),
    Answerer.HTTP1: (
        "This is an HTTP/1 server, such as a REST API or a health page. gRPC needs HTTP/2.",
        """
        Use the port of the gRPC server. Behind a proxy, let it speak HTTP/2 to the server ("h2c" in plain text); nginx
        needs grpc_pass instead of proxy_pass.
        """,
    ),
    Answerer.TLS: (
        "The server speaks TLS on this port, but was called in plain text.",
        """
        Use TLS: protoserve verify {address} --tls (--ca FILE for a certificate of your own). Platforms speak plain text
        to a container, so there the server must not require TLS:
            server.add_insecure_port("0.0.0.0:{port}")
        """,
    ),
    Answerer.PLAIN: (
        "The server speaks plain text on this port (or a version of TLS that this machine does not support), but was "
        "called with TLS.",
        """
        Call it without --tls, or give the server its certificate:
            server.add_secure_port("0.0.0.0:{port}", grpc.ssl_server_credentials([(key, chain)]))
        """,
    ),
    Answerer.CERTIFICATE: (
        "This machine does not trust the certificate for this name.",
        "Give its certificate authority with --ca FILE, and the name that it was issued for with --tls-name NAME.",
    ),
    Answerer.CLIENT_CERTIFICATE: (
        "The server most likely requires a client certificate (mutual TLS); this command has none.",
        """
        Platforms have none either. Configure the server not to require one:
            grpc.ssl_server_credentials([(key, chain)], require_client_auth=False)
        and let the network or a proxy decide who may call. To verify the rest, start the server once without it.
        """,
    ),
    Answerer.NOT_GRPC: (
        "This is an HTTP/2 server that does not speak gRPC (a REST API or a web page), or a proxy that does not "
        "forward to the gRPC server.",
        "Use the port of the gRPC server; behind a proxy, route the paths /package.Service/Method to it.",
    ),
    Answerer.GATEWAY: (
        "A proxy answers instead of the server, and cannot reach a server behind it.",
        """
        Check that the server behind the proxy is running, and that the proxy speaks HTTP/2 in plain text (h2c) to it;
        gRPC does not work over HTTP/1. Or verify the server itself, by its own port.
        """,
    ),
    Answerer.NO_ALPN: (
        "The TLS server does not offer h2 (HTTP/2) by ALPN, and gRPC needs it.",
        "Let the server or the proxy in front of it offer h2; in nginx: listen 443 ssl; http2 on;",
    ),
    Answerer.OTHER: ("Another kind of server listens on this port.", "Use the port of the gRPC server."),
}

_BIND_SOCKET = """
    Look at the server's log, and at the socket that it binds, in a folder that both sides share:
        server.add_insecure_port("unix:/run/server.sock")
    """
_SOCKET_CAUSES = {
    Answerer.REFUSED: (
        "No server listens on this socket: it has not started, it has ended, or it uses another path.",
        _BIND_SOCKET,
    ),
    Answerer.UNREACHABLE: ("The socket cannot be opened: its path is wrong, or not permitted.", _BIND_SOCKET),
    Answerer.CLOSED: ("What listens on this socket closes the connection at once.", _BIND_SOCKET),
}

CHECK = Check(
    "reachable", "the address resolves, accepts connections and speaks HTTP/2", run, after="image-architecture"
)
