"""`reachable`: something resolves, connects and speaks gRPC over HTTP/2, in plain text or TLS as it was said."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass, replace

from protoserve.verify.address import Address
from protoserve.verify.checks.base import Check
from protoserve.verify.grpc_client import clipped
from protoserve.verify.health_client import CHECK as HEALTH
from protoserve.verify.health_client import CHECK_TIMEOUT
from protoserve.verify.readiness import wait_while_starting
from protoserve.verify.report import HTTP_ONLY, Finding, failed, passed, skipped
from protoserve.verify.session import Session
from protoserve.verify.targets.crash_causes import crash_cause

# RFC 9113, section 3.4: the client's preface, then its SETTINGS (empty); a server's first frame is its SETTINGS.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_BYTES = 9
_SETTINGS = 4
_PATIENCE = 3.0
_AGAIN = 0.2
# What may still be starting is asked again; what speaks another protocol will go on doing so.
_MAY_CHANGE = ("refused", "closed", "silent", "unreachable", "gateway")
# How gRPC's client tells of an answer that came over HTTP/2 and was none of gRPC's.
_NO_GRPC = re.compile(r"http2 header with status: (\d+)|Data frame with END_STREAM flag received")
_REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back from one attempt: `kind` is http2, http1, tls, plain, silent, closed, refused, other, ..."""

    kind: str
    seen: str


def run(session: Session) -> Finding:
    if session.web is not None and session.web.alone:
        return skipped(f"{session.web.address} {HTTP_ONLY}")
    address = session.address
    started = time.monotonic()
    until = session.started + session.timeout
    while True:
        answer = probe(address, min(_PATIENCE, session.left()))
        if answer.kind == "http2":
            answer = _speaks_grpc(session)
        ended = session.process is not None and session.process.ended()
        if answer.kind not in _MAY_CHANGE or ended or time.monotonic() >= until or not session.left():
            break
        time.sleep(_AGAIN)
    if answer.kind == "grpc" and session.process is not None:
        wait_while_starting(session)  # it may listen, load its model, and end because that fails
    if answer.kind == "grpc" and not (session.process is not None and session.process.ended()):
        how = "TLS" if address.tls else "plain text"
        return passed(f"{address} speaks gRPC over HTTP/2 in {how}, after {time.monotonic() - started:.2f} s")
    if session.process is not None and session.process.ended():
        told = session.process.exit_report()
        return failed(f"the server ended by itself: {told}", *crash_cause(told))
    return _explained(session, answer)


def _speaks_grpc(session: Session) -> _Answer:
    """Whether any of the paths that a gRPC server may have is answered as gRPC does, if only with UNIMPLEMENTED."""
    seen: list[str] = []
    gateway = False
    for path in dict.fromkeys((HEALTH, _REFLECTION, *(method.path for method in session.methods[:1]))):
        reply = session.client.call(path, b"", CHECK_TIMEOUT, many=path != HEALTH)
        if "failed to connect" in reply.details:
            kind = "certificate" if "handshake failed" in reply.details.lower() else "closed"
            return _Answer(kind, f"gRPC's client cannot connect: {clipped(reply.details)}")
        found = _NO_GRPC.search(reply.details)
        if reply.ok or found is None:
            return _Answer("grpc", "")
        gateway = gateway or found[1] in ("502", "503", "504")
        seen.append(f"{path} with " + (f"HTTP status {found[1]}" if found[1] else "a page that is none of gRPC's"))
    return _Answer("gateway" if gateway else "not-grpc", "it speaks HTTP/2, and answers " + ", ".join(seen))


def probe(address: Address, timeout: float) -> _Answer:
    """Connects and sends an HTTP/2 preface; tells what kind of server answers."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        return _Answer("unresolved", f"the name {address.host} does not resolve: {error}")
    answer = _Answer("unreachable", "")
    for *_, where in found:
        answer = _attempt(replace(address, host=str(where[0])), address.host, timeout)
        if answer.kind not in ("refused", "unreachable"):
            return answer
    return answer


def _attempt(address: Address, name: str, timeout: float) -> _Answer:
    try:
        with socket.create_connection((address.host, address.port), timeout) as plain:
            plain.settimeout(timeout)
            if address.tls is None:
                return _spoken(plain, address, timeout)
            try:
                with address.tls.context().wrap_socket(plain, server_hostname=address.tls.name or name) as secure:
                    if secure.selected_alpn_protocol() != "h2":
                        chosen = secure.selected_alpn_protocol() or "nothing"
                        return _Answer("no-alpn", f"TLS works, and ALPN chose {chosen} instead of h2")
                    return _spoken(secure, address, timeout)
            except ssl.SSLCertVerificationError as error:
                return _Answer("certificate", f"the certificate is refused: {error.verify_message}")
            except ssl.SSLError as error:
                return _Answer("plain", f"the TLS handshake fails: {error.reason or error}")
            except TimeoutError:
                return _Answer("silent", f"connected, and nothing came to a TLS handshake within {timeout:.0f} s")
            except OSError as error:
                return _Answer("closed", f"the connection was closed in the TLS handshake: {error.strerror or error}")
    except TimeoutError:
        return _Answer("unreachable", f"no connection within {timeout:.0f} s")
    except ConnectionRefusedError:
        return _Answer("refused", "the connection is refused: nothing listens there")
    except OSError as error:
        return _Answer("unreachable", f"no connection: {error.strerror or error}")


def _spoken(connection: socket.socket, address: Address, timeout: float) -> _Answer:
    data, ended = b"", False
    try:
        connection.sendall(_PREFACE)
        while len(data) < _FRAME_BYTES:
            if not (part := connection.recv(4096)):
                ended = True
                break
            data += part
    except TimeoutError:
        pass
    except OSError as error:
        if isinstance(error, ssl.SSLError):  # with TLS 1.3 a server refuses after the handshake
            return _Answer("client-certificate", f"TLS works, and the server then refuses us: {error.reason or error}")
        if not data and address.tls is None and _speaks_tls(address, timeout):
            return _Answer("tls", "it closes a plain connection, and answers a TLS handshake")
        return _Answer("closed", f"connected, and the connection broke: {error.strerror or error}")
    if len(data) >= _FRAME_BYTES and data[3] == _SETTINGS and data[5:9] == b"\0\0\0\0":
        return _Answer("http2", "")
    if data.startswith(b"HTTP/1"):
        return _Answer("http1", f"it answers the HTTP/2 preface with {_first_line(data)!r}")
    if data[:2] in (b"\x15\x03", b"\x16\x03") or (address.tls is None and _speaks_tls(address, timeout)):
        return _Answer("tls", "it answers a TLS handshake, and no plain HTTP/2")
    if ended and not data and address.tls is not None:
        return _Answer("client-certificate", "TLS works, and the server then closes the connection")
    if (first := _http1(address, timeout)) is not None:
        return first
    if ended and not data:
        return _Answer("closed", "it takes the connection, and closes it")
    if data:
        return _Answer("other", f"its first bytes are {data[:24]!r}, which is no HTTP/2")
    return _Answer("silent", f"it accepts the connection and says nothing within {timeout:.0f} s")


def _speaks_tls(address: Address, timeout: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), timeout) as plain:
        plain.settimeout(min(timeout, 1.0))
        with context.wrap_socket(plain):
            return True
    return False


def _http1(address: Address, timeout: float) -> _Answer | None:
    """Whether a server that ignored the preface answers HTTP/1."""
    if address.tls is not None:
        return None
    with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), timeout) as plain:
        plain.settimeout(min(timeout, 1.0))
        plain.sendall(b"GET / HTTP/1.1\r\nHost: verify\r\nConnection: close\r\n\r\n")
        if (data := plain.recv(64)).startswith(b"HTTP/1"):
            return _Answer("http1", f"it ignores HTTP/2, and answers HTTP/1 with {_first_line(data)!r}")
    return None


def _first_line(data: bytes) -> str:
    return clipped(data.split(b"\r\n", 1)[0].decode("ascii", "replace"))


def _explained(session: Session, answer: _Answer) -> Finding:
    address = session.address
    seen = f"{address}: {answer.seen}"
    port = address.port
    if answer.kind == "unresolved":
        return failed(seen, "The host name is wrong, or this machine's DNS does not know it.", "Check the name.")
    if answer.kind in _MAY_CHANGE and session.process is not None:
        if inside := session.process.listens_elsewhere():
            cause, remedy = (_LOOPBACK, _BIND) if inside.startswith(("127.", "[::1]")) else _ELSEWHERE
            number = inside.partition(",")[0].rpartition(":")[2]
            return failed(f"{seen}; inside, it listens on {inside}", cause, remedy.format(port=number))
        seen += f"; {session.process.exit_report()}"
    if answer.kind == "refused" and (loopback := _own_loopback(address)):
        return failed(f"{seen}, while {loopback} is open", _LOOPBACK, _BIND.format(port=port))
    cause, remedy = _CAUSES[answer.kind]
    return failed(seen, cause, remedy.format(address=address, port=port))


def _own_loopback(address: Address) -> Address | None:
    """The same port of the loopback, if that is open and the host is this machine under another address."""
    try:
        host = str(socket.getaddrinfo(address.host, None, type=socket.SOCK_STREAM)[0][4][0])
        family, loopback = (socket.AF_INET6, "::1") if ":" in host else (socket.AF_INET, "127.0.0.1")
        if ipaddress.ip_address(host) == ipaddress.ip_address(loopback):
            return None
        with socket.socket(family, socket.SOCK_DGRAM) as ours:
            ours.bind((host, 0))  # only an address of one's own can be bound
        with socket.create_connection((loopback, address.port), 1.0):
            return replace(address, host=loopback)
    except (OSError, ValueError):
        return None


_LOOPBACK = (
    "The server is bound to the loopback address (127.0.0.1, localhost or ::1): it hears only its own machine or "
    "container, and no platform can reach it."
)
_BIND = """
    Bind to all addresses:
        server.add_insecure_port("0.0.0.0:{port}")   # or "[::]:{port}", which takes IPv4 too
    """
_ELSEWHERE = (
    "The server listens on another port than the one that the platform told it to (PORT, or AIP_HTTP_PORT on Vertex "
    "AI), and that the image EXPOSEs.",
    """
    Read the port from the environment, or EXPOSE the fixed one:
        server.add_insecure_port(f"[::]:{{os.environ['PORT']}}")
        EXPOSE {port}
    With a fixed port, name it in the platform's spec, and here: --port {port}
    """,
)
_CAUSES = {
    "refused": (
        "No server listens on this port: it has not started, it ended, or it uses another port.",
        """
        Look at the server's log, and at the port that it binds:
            server.add_insecure_port("0.0.0.0:{port}")
            server.start()
        """,
    ),
    "unreachable": (
        "The host or the network does not answer: a wrong address, a firewall, or a port that is not published.",
        "Check the address. A container's port must be published: docker run -p {port}:{port} ...",
    ),
    "closed": (
        "Something takes the connection and drops it at once: a port that is published for a container in which "
        "nothing listens there (or on the loopback only), or a proxy without a server behind it.",
        _BIND,
    ),
    "silent": (
        "The port is open, and nobody serves it: the process hangs (an event loop that is blocked by loading a model "
        "does that), server.start() was never called, or this is no gRPC server.",
        """
        Start the server before you load the model, and load it outside the event loop:
            await server.start()
            model = await asyncio.to_thread(load)
        """,
    ),
    "http1": (
        "This is an HTTP/1 server, such as a REST API or a health page. gRPC needs HTTP/2.",
        """
        Give the port of the gRPC server. Behind a proxy, let it speak HTTP/2 to the server ("h2c" in plain text);
        nginx needs grpc_pass instead of proxy_pass.
        """,
    ),
    "tls": (
        "The server speaks TLS on this port, and was asked in plain text.",
        """
        Ask with TLS: protoserve verify {address} --tls (--ca FILE for a certificate of your own). Platforms speak plain
        text to a container; there the server must not ask for TLS:
            server.add_insecure_port("0.0.0.0:{port}")
        """,
    ),
    "plain": (
        "The server speaks plain text on this port (or a TLS that fits none of ours), and was asked with TLS.",
        """
        Ask without --tls, or give the server its certificate:
            server.add_secure_port("0.0.0.0:{port}", grpc.ssl_server_credentials([(key, chain)]))
        """,
    ),
    "certificate": (
        "The certificate is not one that this machine trusts for this name.",
        "Give its authority with --ca FILE, and the name that it is made for with --tls-name NAME.",
    ),
    "client-certificate": (
        "The server most likely asks its callers for a certificate of their own (mutual TLS); this command has none.",
        """
        Platforms have none either. Let the server not ask for it:
            grpc.ssl_server_credentials([(key, chain)], require_client_auth=False)
        and leave who may call to the network or a proxy. To verify the rest, start it once without.
        """,
    ),
    "not-grpc": (
        "This is an HTTP/2 server that knows nothing of gRPC (a REST API or a web page), or a proxy that sends nothing "
        "on to the gRPC server.",
        "Give the port of the gRPC server; behind a proxy, route the paths /package.Service/Method to it.",
    ),
    "gateway": (
        "A proxy answers in place of the server: it reaches no server behind it.",
        """
        Look whether the server behind the proxy runs, and whether the proxy speaks HTTP/2 in plain text (h2c) to it:
        to a gRPC server HTTP/1 is no use. Or verify the server itself, by its own port.
        """,
    ),
    "no-alpn": (
        "The TLS server does not offer h2 (HTTP/2) by ALPN, and gRPC needs it.",
        "Let the server or the proxy in front of it offer h2; in nginx: listen 443 ssl; http2 on;",
    ),
    "other": (
        "Some other kind of server listens on this port.",
        "Give the port of the gRPC server.",
    ),
}

CHECK = Check("reachable", "resolves, connects, speaks HTTP/2", run, after="image-architecture")
