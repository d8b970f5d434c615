"""`implemented`: every method of the contract answers something other than UNIMPLEMENTED."""

from __future__ import annotations

import difflib

import grpc

from protoserve.verify.checks.base import Check
from protoserve.verify.client import Reply
from protoserve.verify.interface import Method, own
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.session import Session, lost

_NO_CONTRACT = "no contract to hold it to: the server has no reflection; give --proto FILE or --project FOLDER"


def run(session: Session) -> Finding:
    if session.reflection is None:
        session.reflect()
    if not session.methods:
        return _without_methods(session)
    session.readiness()
    for method in session.methods:
        if method.path not in session.replies:
            session.replies[method.path] = _answer(session, method)
    missing = [m for m in session.methods if session.replies[m.path].code is grpc.StatusCode.UNIMPLEMENTED]
    if missing:
        return _missing(session, missing)
    for method in session.methods:
        reply = session.replies[method.path]
        if lost(reply):
            return _died(session, method, reply)
        if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return _hangs(method, reply)
    count = len(session.methods)
    return passed(f"{count} method{'s' * (count > 1)}: " + "; ".join(_said(session, m) for m in session.methods))


def _answer(session: Session, method: Method) -> Reply:
    """The answer to the first candidate that the method takes; where it takes none, to the first."""
    assert session.requests is not None
    first: Reply | None = None
    for request in session.requests.candidates(method):
        reply = session.ask(method, request.data)
        first = first or reply
        if reply.ok:
            session.requests.settle(method, request)
            return reply
        if reply.code not in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.OUT_OF_RANGE,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.INTERNAL,
        ):
            return reply
    assert first is not None
    return first


def _without_methods(session: Session) -> Finding:
    shown = None if session.reflection is None else session.reflection.services
    if shown is None:
        return skipped(_NO_CONTRACT)
    if found := own(shown):
        return skipped(
            f"reflection lists {', '.join(found)} and does not describe it; give --proto FILE or --project FOLDER"
        )
    return failed(
        f"reflection lists {', '.join(shown) or 'nothing'}: no service of the server's own",
        "The servicer was never added to the server (or its name was left out of what reflection shows).",
        """
        Add the servicer before server.start():
            your_pb2_grpc.add_YourServiceServicer_to_server(YourServicer(), server)
        If it is added, give reflection its name, or give this command the contract with --proto FILE:
            reflection.enable_server_reflection([your_pb2.DESCRIPTOR.services_by_name["YourService"].full_name], server)
        """,
    )


def _missing(session: Session, missing: list[Method]) -> Finding:
    method = missing[0]
    reply = session.replies[method.path]
    seen = "; ".join(f"{m.path}: {session.replies[m.path]}" for m in missing)
    service = method.service.rpartition(".")[2]
    add = f"""
        Add the servicer before server.start():
            prediction_pb2_grpc.add_{service}Servicer_to_server({service}(), server)
        """
    if "http2 header with status" in reply.details:
        return failed(
            seen,
            "This is an HTTP/2 server that knows nothing of gRPC (a REST API, or a proxy that sends nothing on).",
            "Give the port of the gRPC server; behind a proxy, route the paths /package.Service/Method to it.",
        )
    shown = None if session.reflection is None else session.reflection.services
    if shown is not None and method.service not in shown:
        seen += f"; reflection lists {', '.join(shown) or 'nothing'}"
        if close := _alike(method.service, own(shown)):
            return failed(
                seen,
                f"The server has the service {close}, and callers ask for {method.service}: package and service name "
                "are part of the path on the wire.",
                f"""
                Serve stubs that were made from the contract's own .proto, in which stands
                    package {method.service.rpartition(".")[0]};
                    service {service} {{ ... }}
                or give callers the .proto of {close}.
                """,
            )
        return failed(seen, f"The service {method.service} is not registered with the server.", add)
    siblings = [m for m in session.methods if m.service == method.service and m not in missing]
    if "not implemented" in reply.details.lower() or siblings:
        names = ", ".join(m.name for m in missing)
        return failed(
            seen,
            f"The service is registered, and its servicer has no {names}: the generated base class answers "
            "UNIMPLEMENTED for a method that is not overridden. A name in another case (predict) is another method.",
            f"""
            Define it in the servicer class, by exactly this name:
                class {service}(prediction_pb2_grpc.{service}Servicer):
                    def {method.name}(self, request, context):
                        return prediction_pb2.{method.output.name}(...)
            """,
        )
    if near := _without_package(session, method):
        return failed(
            f"{seen}; {near} is answered",
            f"The server serves {near}: its .proto has another package than the contract.",
            f"Put `package {method.service.rpartition('.')[0]};` into the .proto, and make the stubs again.",
        )
    return failed(
        seen,
        f"The server knows no {method.service}: the servicer was never added to the server, or its .proto has another "
        "package or service name.",
        add,
    )


def _alike(wanted: str, shown: list[str]) -> str | None:
    """The service that is probably meant: of the same last name, else of a similar one."""
    last = wanted.rpartition(".")[2]
    same = [name for name in shown if name.rpartition(".")[2] == last]
    return next(iter(same or difflib.get_close_matches(wanted, shown, 1, 0.6)), None)


def _without_package(session: Session, method: Method) -> str | None:
    """The path without a package, where that is served."""
    path = f"/{method.service.rpartition('.')[2]}/{method.name}"
    reply = session.client.call(path, session.request(method).data, session.timeout, many=method.gives_stream)
    return None if path == method.path or reply.code is grpc.StatusCode.UNIMPLEMENTED else path


def _died(session: Session, method: Method, reply: Reply) -> Finding:
    gone = f"; {session.process.told()}" if session.process is not None and session.process.ended() else ""
    return failed(
        f"{method.path}: {reply}{gone}",
        f"The connection broke while {method.name} was answered: the server's process ended (a crash in native code, "
        "os._exit, or killed for its memory) or it closed the connection.",
        f"Look at the server's log and exit code. Run {method.name} by hand with the same request; watch its memory.",
    )


def _hangs(method: Method, reply: Reply) -> Finding:
    return failed(
        f"{method.path}: {reply}",
        f"{method.name} does not answer: it waits for something (a lock, another service, a queue that nobody reads) "
        "or computes for longer than --timeout.",
        f"Look at where {method.name} stands (py-spy dump --pid PID). For a model that is this slow, raise --timeout.",
    )


def _said(session: Session, method: Method) -> str:
    return f"{method.name} answers {session.replies[method.path].code.name}"


CHECK = Check("implemented", "every method is implemented", run, after="reachable")
