"""`implemented`: every method of the contract answers something other than UNIMPLEMENTED."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

import grpc

from protoserve.schema.model import Contract
from protoserve.verify.checks.base import Check
from protoserve.verify.grpc_client import Reply, clipped
from protoserve.verify.interface import Method, own_services
from protoserve.verify.report import Finding, failed, passed, skipped, warned
from protoserve.verify.request_search import hung
from protoserve.verify.session import Session

_NO_CONTRACT = "no contract to hold it to: the server has {why}; give --proto FILE or --project FOLDER"
_PROBE_SECONDS = 2.0
_MOST_PROBES = 5
# How servers word UNIMPLEMENTED, where the words tell more than the code: tests/verify/test_texts.py has them all.
_NO_SERVICE = re.compile(r"^unknown service|^service is unimplemented", re.I)
_NO_METHOD = re.compile(
    r"^unknown method|not implemented|^method\b.* is unimplemented|does not implement the method [^/]*$", re.I
)
# What libraries and stubs say by themselves; all else is somebody's decision.
_STOCK = re.compile(
    r"^$|^method not (found|implemented)|^unknown (service|method)|^method \S+ not implemented$|is unimplemented\.?$"
    r"|^the server does not implement the method|http2 header with status",
    re.I,
)


def run(session: Session) -> Finding:
    session.answer_all()
    if not session.methods:
        return _without_methods(session)
    unimplemented = [m for m in session.methods if session.replies[m.path].code is grpc.StatusCode.UNIMPLEMENTED]
    refused = [method for method in unimplemented if _decided(session, method)]
    if len(refused) == len(session.methods):
        return _nothing_served(session, refused)
    missing = [method for method in unimplemented if method not in refused]
    elsewhere = _served_elsewhere(session, missing)
    if missing and not elsewhere:
        return _missing(session, missing)
    for method in session.methods:
        reply = session.replies[method.path]
        if reply.connection_lost:
            return _died(session, method, reply)
        if hung(session, reply):
            return _hangs(method, reply)
    if elsewhere:
        return _part(session, missing, elsewhere)
    if refused:
        return _retired(session, refused)
    count = len(session.methods)
    waited = session.readiness().waited
    before = f"after {waited:.1f} s in which health said NOT_SERVING, " if waited > 1 else ""
    said = "; ".join(_said(session, method) for method in session.methods)
    return passed(f"{before}{count} method{'s' * (count > 1)}: {said}")


def _without_methods(session: Session) -> Finding:
    reflection = session.reflection
    if reflection is None or reflection.services is None:
        hangs = reflection is not None and reflection.hangs
        return skipped(_NO_CONTRACT.format(why="reflection that does not answer" if hangs else "no reflection"))
    shown = reflection.services
    if found := own_services(shown):
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


def _served_elsewhere(session: Session, missing: list[Method]) -> list[str]:
    """Services of a .proto of which the server has none of the methods, where it has all those of another.

    A .proto may well define services for several servers. One that is known here and only lacks its methods is not
    among them.
    """
    partly = {method.service for method in session.methods if method not in missing}
    services = list(dict.fromkeys(method.service for method in missing))
    shown = (session.reflection and session.reflection.services) or ()
    if not partly or session.project is not None or any(s in partly or s in shown for s in services):
        return []
    if any(_NO_METHOD.search(session.replies[method.path].details) for method in missing):
        return []
    return services


def _older(session: Session, method: Method) -> Contract | None:
    """The schema that has the method, where that is a project's and not its newest."""
    contracts = session.interface.contracts if session.interface is not None else ()
    return next((found for found in contracts[1:] if found.full_service == method.service), None)


def _decided(session: Session, method: Method) -> bool:
    """Whether an UNIMPLEMENTED method is there, and refuses its callers in words of its author's."""
    details = session.replies[method.path].details
    if _older(session, method) is not None:  # `Retired`, whose text may be none, or speak of what is not implemented
        return not details or not _STOCK.search(details)
    return not _STOCK.search(details) and not _NO_METHOD.search(details)


def _nothing_served(session: Session, refused: list[Method]) -> Finding:
    method = refused[0]
    return failed(
        "; ".join(f"{m.path}: {session.replies[m.path]}" for m in refused),
        f"{method.name} is there, and refuses every call with UNIMPLEMENTED and words of the server's own: "
        f'"{clipped(session.replies[method.path].details)}". Nothing that the contract promises is answered.',
        f"Answer {method.name}, with {method.output.name}. Where a request cannot be answered, INVALID_ARGUMENT, "
        "FAILED_PRECONDITION or UNAVAILABLE says why.",
    )


def _retired(session: Session, refused: list[Method]) -> Finding:
    """Some methods are refused on purpose; the others answer, and are judged by what follows."""
    answered = [method for method in session.methods if method not in refused]
    seen = "; ".join(f"{m.path}: {session.replies[m.path]}" for m in refused)
    seen += "; " + "; ".join(_said(session, method) for method in answered)
    method = refused[0]
    told = f'"{clipped(session.replies[method.path].details)}"'
    if (older := _older(session, method)) is not None:
        return warned(
            seen,
            f"{method.name} of {older.version} is refused on purpose, by `Retired` in upgrade/{older.version}.py, and "
            f"its callers are told {told}. The contract of {older.version} still promises it.",
            f"""
            Nothing, while callers of {older.version} know. When nobody calls it any more, end that version:
                protoserve version --drop {older.version}
            """,
        )
    return warned(
        seen,
        f"{method.name} is there, and refuses every call with UNIMPLEMENTED and words of the server's own: {told}. The "
        "contract still promises it.",
        f"""
        Tell callers in the .proto, or take it out of theirs:
            rpc {method.name}({method.input.name}) returns ({method.output.name}) {{ option deprecated = true; }}
        If it is meant to work, answer it.
        """,
    )


def _part(session: Session, missing: list[Method], services: list[str]) -> Finding:
    there = [name for name in dict.fromkeys(m.service for m in session.methods) if name not in services]
    return warned(
        "; ".join(f"{m.path}: {session.replies[m.path]}" for m in missing) + f"; {', '.join(there)} is served",
        f"The contract has several services, and this server knows nothing of {', '.join(services)}. That is right if "
        "another server has it; else its servicer was never added.",
        _ADD.format(service=services[0].rpartition(".")[2]),
    )


def _missing(session: Session, missing: list[Method]) -> Finding:
    method = missing[0]
    reply = session.replies[method.path]
    seen = "; ".join(f"{m.path}: {session.replies[m.path]}" for m in missing)
    service = method.service.rpartition(".")[2]
    if "http2 header with status" in reply.details:
        return failed(
            seen,
            "A proxy (or a web framework) answers in place of the gRPC server: it does not know this path.",
            f"Route the path /{method.service}/ to the gRPC server, over HTTP/2; or verify the server by its own port.",
        )
    shown = None if session.reflection is None else session.reflection.services
    if shown is not None and method.service not in shown:
        return _not_shown(method, f"{seen}; reflection lists {', '.join(shown) or 'nothing'}", shown)
    if served := _served_names(session, method):
        seen += f"; the server's own contract has {', '.join(served)}"
        near = next((name for name in served if name.lower() == method.name.lower()), None)
        near = near or next(iter(difflib.get_close_matches(method.name, served, 1, 0.6)), None)
        return failed(
            seen,
            f"The server's {service} has no {method.name}"
            + (f", and has {near}: names are part of the path on the wire, and their case counts." if near else "."),
            f"""
            Give server and callers one .proto, in which stands
                rpc {method.name}({method.input.name}) returns ({method.output.name});
            and make the stubs of both from it.
            """,
        )
    siblings = [m for m in session.methods if m.service == method.service and m not in missing]
    if _NO_METHOD.search(reply.details) or siblings:
        return _not_overridden(seen, method, ", ".join(m.name for m in missing if m.service == method.service))
    if near := _near(session, method):
        return _elsewhere(f"{seen}; {near} is answered", near, method)
    return failed(
        seen,
        f"The service {method.service} is not registered with the server: the servicer was never added."
        if shown is not None
        else f"The server knows no {method.service}: the servicer was never added to the server, or its .proto has "
        "another package or service name.",
        _ADD.format(service=service),
    )


def _not_shown(method: Method, seen: str, shown: tuple[str, ...]) -> Finding:
    service = method.service.rpartition(".")[2]
    if close := _alike(method.service, own_services(shown)):
        return failed(
            seen,
            f"The server has the service {close}, and callers ask for {method.service}: package and service name are "
            "part of the path on the wire.",
            f"""
            Serve stubs that were made from the contract's own .proto, in which stands
                package {method.service.rpartition(".")[0]};
                service {service} {{ ... }}
            or give callers the .proto of {close}.
            """,
        )
    return failed(
        seen,
        f"The service {method.service} is not registered with the server: the servicer was never added.",
        _ADD.format(service=service),
    )


def _not_overridden(seen: str, method: Method, names: str) -> Finding:
    service = method.service.rpartition(".")[2]
    return failed(
        seen,
        f"The service is registered, and its servicer has no {names}: the generated base class answers UNIMPLEMENTED "
        "for a method that is not overridden. A name in another case (predict) is another method.",
        f"""
        Define it in the servicer class, by exactly this name:
            class {service}(prediction_pb2_grpc.{service}Servicer):
                def {method.name}(self, request, context):
                    return prediction_pb2.{method.output.name}(...)
        """,
    )


def _elsewhere(seen: str, path: str, method: Method) -> Finding:
    """The method is answered at another path."""
    service, _, name = path.lstrip("/").rpartition("/")
    if name != method.name:
        return failed(
            seen,
            f"The server has the method as {name}, and callers ask for {method.name}: names are part of the path on "
            "the wire, and their case counts.",
            f"Register it by the name that the .proto gives it: {method.name}.",
        )
    package = method.service.rpartition(".")[0]
    return failed(
        seen,
        f"The server serves {service}: its .proto has another package than the contract.",
        f"Put `package {package};` into the server's .proto, and make its stubs again; or take it out of the callers'.",
    )


def _alike(wanted: str, shown: list[str]) -> str | None:
    """The service that is probably meant: of the same last name, else of a similar one."""
    last = wanted.rpartition(".")[2]
    same = [name for name in shown if name.rpartition(".")[2] == last]
    return next(iter(same or difflib.get_close_matches(wanted, shown, 1, 0.6)), None)


def _served_names(session: Session, method: Method) -> list[str]:
    """The methods that the server itself says the service has, where the asked one is not among them."""
    if session.reflection is None or session.interface is None or session.interface.source == "reflection":
        return []
    own_interface = session.reflection.interface()
    methods = own_interface.methods if own_interface is not None else ()
    names = [other.name for other in methods if other.service == method.service]
    return [] if method.name in names else names


def _near(session: Session, method: Method) -> str | None:
    """A path that differs in package or case, and is answered."""
    for path in [path for path in dict.fromkeys(_paths(method)) if path != method.path][:_MOST_PROBES]:
        data = session.request(method).data
        reply = session.client.call(path, data, _PROBE_SECONDS, stream=method.takes_stream, many=method.gives_stream)
        if reply.code is not grpc.StatusCode.UNIMPLEMENTED and not reply.connection_lost:
            return path
    return None


def _paths(method: Method) -> Iterator[str]:
    package, _, service = method.service.rpartition(".")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method.name).lower()
    for name in (method.name[:1].lower() + method.name[1:], snake):
        if name != method.name:
            yield f"/{method.service}/{name}"
    if package:
        yield f"/{service}/{method.name}"
        without_version = re.sub(r"\.v\d+\w*$", "", package)
        yield f"/{without_version}.{service}/{method.name}"
        if without_version == package:
            yield f"/{package}.v1.{service}/{method.name}"


def _died(session: Session, method: Method, reply: Reply) -> Finding:
    gone = f"; {session.process.exit_report()}" if session.process is not None and session.process.ended() else ""
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


_ADD = """
    Add the servicer before server.start():
        prediction_pb2_grpc.add_{service}Servicer_to_server({service}(), server)
    """

CHECK = Check("implemented", "every method is implemented", run, after="reachable")
