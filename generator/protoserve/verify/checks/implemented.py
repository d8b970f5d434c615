"""`implemented`: every method of the contract answers something other than UNIMPLEMENTED."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from textwrap import dedent

import grpc

from protoserve.schema.model import Contract
from protoserve.verify.checks import credentials, silence
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.code_names import new_message, service_module
from protoserve.verify.checks.method_calls import all_left_alone, give_contract, left_alone_note
from protoserve.verify.grpc_client import Reply, clipped
from protoserve.verify.interface import Method, own_services
from protoserve.verify.reflection import MOST_OF_REFLECTION
from protoserve.verify.report import Finding, Verdict, failed, passed, unjudged, warned
from protoserve.verify.request_search import hung
from protoserve.verify.session import Session
from protoserve.verify.side_effects import NO_CALL
from protoserve.verify.traffic import NO_SUCH_METHOD

_PROBE_SECONDS = 2.0
_MOST_PROBES = 5
# How servers word UNIMPLEMENTED, where the text says more than the code: tests/verify/test_texts.py lists the texts.
_NO_SERVICE = re.compile(r"^unknown service|^service is unimplemented", re.I)
_NO_METHOD = re.compile(
    r"^unknown method|not implemented|^method\b.* is unimplemented|does not implement the method [^/]*$", re.I
)
# What libraries and stubs say by themselves; any other text was written by the author.
_STOCK_TEXT = re.compile(
    r"^$|^method not (found|implemented)|^unknown (service|method)|^method \S+ not implemented$|is unimplemented\.?$"
    r"|^the server does not implement the method|http2 header with status",
    re.I,
)


def run(session: Session) -> Finding:
    finding = _judge(session)
    if finding.verdict is Verdict.PASS:
        finding = _unlisted(session, finding.seen) or finding
    note = left_alone_note(session)
    return replace(finding, seen=f"{finding.seen}; {note}") if note and session.methods else finding


def _judge(session: Session) -> Finding:
    session.answer_all()
    if session.left_alone and not session.methods:
        return all_left_alone(session)
    if not session.methods:
        return _no_methods(session)
    unimplemented = [m for m in session.methods if session.replies[m.path].code is grpc.StatusCode.UNIMPLEMENTED]
    retired = [method for method in unimplemented if _refused_on_purpose(session, method)]
    if len(retired) == len(session.methods):
        return _all_retired(session, retired)
    missing = [method for method in unimplemented if method not in retired]
    other_services = _services_of_other_servers(session, missing)
    if missing and not other_services:
        return _missing(session, missing)
    for method in session.methods:
        reply = session.replies[method.path]
        if reply.connection_lost:
            return _crashes(session, method, reply)
        if hung(session, reply):
            return _hangs(session, method, reply)
    if other_services:
        return _serves_some_services(session, missing, other_services)
    if retired:
        return _some_retired(session, retired)
    if (guarded := _guarded(session)) is not None:
        return guarded
    not_serving = session.readiness().not_serving_until
    prefix = "" if not_serving is None else f"health said NOT_SERVING until {not_serving:.1f} s; "
    count = len(session.methods)
    return passed(f"{prefix}{count} method{'s' * (count > 1)}: {_status_names(session, session.methods)}")


def _unlisted(session: Session, seen: str) -> Finding | None:
    """A warning for the first method that is left alone because of its name, and that reflection does not have."""
    reflection, contract = session.reflection, session.interface
    if reflection is None or reflection.services is None or contract is None or contract.source == "reflection":
        return None
    left = [method for method in contract.methods if session.left_alone.get(method.path, NO_CALL) != NO_CALL]
    for method in left:
        if method.service not in reflection.services:
            names = [other.name for other in left if other.service == method.service]
            return _service_left_alone(method, names, f"{seen}; reflection lists {', '.join(reflection.services)}")
        if names := _reflected_methods(session, method):
            return _method_left_alone(method, f"{seen}; the server's own {method.service} has {', '.join(names)}")
    return None


def _service_left_alone(method: Method, names: list[str], seen: str) -> Finding:
    return warned(
        seen,
        f"The contract has {method.service}, and the server's reflection does not list it. That is right if another "
        f"server has it; otherwise its servicer was never added. No call shows which: {', '.join(names)} "
        f"{'was' if len(names) == 1 else 'were'} left alone.",
        f"{dedent(_add_servicer(method)).strip()}\n"
        f"If another server has it, leave it out here: {' '.join(f'--no-call {name}' for name in names)}",
    )


def _method_left_alone(method: Method, seen: str) -> Finding:
    return warned(
        seen,
        f"The contract has {method.name}, and the server's own contract, which its reflection describes, does not. It "
        "was left alone, so no call shows what callers get.",
        f"""
        Generate the server's stubs from the .proto that callers have, and implement {method.name}. If this server does
        not offer it on purpose, leave it out here: --no-call {method.name}
        """,
    )


def _replies(session: Session, methods: Iterable[Method]) -> str:
    return "; ".join(f"{method.path}: {session.replies[method.path]}" for method in methods)


def _status_names(session: Session, methods: Iterable[Method]) -> str:
    return "; ".join(f"{method.name} {_outcome(session.replies[method.path])}" for method in methods)


def _outcome(reply: Reply) -> str:
    return f"sends {reply}" if reply.too_large else f"answers {reply.code.name}"


def _guarded(session: Session) -> Finding | None:
    """If every call is refused for want of credentials, even that of a method that does not exist, no answer shows
    that a method exists.
    """
    if any(session.replies[method.path].code not in credentials.REFUSALS for method in session.methods):
        return None
    if session.client.call(NO_SUCH_METHOD, b"", _PROBE_SECONDS).code not in credentials.REFUSALS:
        return None
    return credentials.all_refused(session, session.methods)


def _no_methods(session: Session) -> Finding:
    reflection = session.reflection
    if reflection is not None and reflection.too_large:
        reason = f"reflection sends too much: verify reads {MOST_OF_REFLECTION}"
        return unjudged(f"no contract to compare with: {reason}", give_contract(session))
    if reflection is None or reflection.services is None:
        if reflection is not None and (refusal := reflection.refusal) is not None:
            return unjudged(f"no contract to compare with: reflection answers {refusal}", give_contract(session))
        hangs = reflection is not None and reflection.hangs
        reason = "reflection does not answer" if hangs else "the server has no reflection"
        return unjudged(f"no contract to compare with: {reason}", give_contract(session))
    listed = reflection.services
    if services := own_services(listed):
        return unjudged(f"reflection lists {', '.join(services)} but does not describe it", give_contract(session))
    return failed(
        f"reflection lists {', '.join(listed) or 'nothing'}: no service of the server's own",
        "The servicer was never added to the server (or its name was not passed to reflection).",
        """
        Add the servicer before server.start():
            your_pb2_grpc.add_YourServiceServicer_to_server(YourServicer(), server)
        If it is added, pass its name to reflection, or give this command the contract with --proto FILE:
            reflection.enable_server_reflection([your_pb2.DESCRIPTOR.services_by_name["YourService"].full_name], server)
        """,
    )


def _older_version(session: Session, method: Method) -> Contract | None:
    """The schema that has the method, if it is one of a project's older versions."""
    contracts = session.interface.contracts if session.interface is not None else ()
    return next((contract for contract in contracts[1:] if contract.full_service == method.service), None)


def _refused_on_purpose(session: Session, method: Method) -> bool:
    """Whether an UNIMPLEMENTED method exists, and refuses its callers with a text by its author."""
    details = session.replies[method.path].details
    if _older_version(session, method) is not None:  # the text of `Retired` may be empty or contain any words
        return not details or not _STOCK_TEXT.search(details)
    return not _STOCK_TEXT.search(details) and not _NO_METHOD.search(details)


def _all_retired(session: Session, retired: list[Method]) -> Finding:
    method = retired[0]
    return failed(
        _replies(session, retired),
        f"{method.name} exists, but refuses every call with UNIMPLEMENTED and a text of the server's own: "
        f'"{clipped(session.replies[method.path].details)}". No method of the contract is answered.',
        f"Answer {method.name} with {method.output.name}. If a request cannot be answered, use INVALID_ARGUMENT, "
        "FAILED_PRECONDITION or UNAVAILABLE.",
    )


def _some_retired(session: Session, retired: list[Method]) -> Finding:
    """Some methods are refused on purpose; the later checks judge the others."""
    answered = [method for method in session.methods if method not in retired]
    seen = f"{_replies(session, retired)}; {_status_names(session, answered)}"
    method = retired[0]
    text = f'"{clipped(session.replies[method.path].details)}"'
    if (older := _older_version(session, method)) is not None:
        return warned(
            seen,
            f"{method.name} of {older.version} is refused on purpose, by `Retired` in upgrade/{older.version}.py, with "
            f"the text {text}. The contract of {older.version} still promises the method.",
            f"""
            Nothing, as long as callers of {older.version} know. When nobody calls it any more, drop that version:
                protoserve version --drop {older.version}
            """,
        )
    return warned(
        seen,
        f"{method.name} exists, but refuses every call with UNIMPLEMENTED and a text of the server's own: {text}. The "
        "contract still promises the method.",
        f"""
        Mark it as deprecated in the .proto, or remove it from the callers':
            rpc {method.name}({method.input.name}) returns ({method.output.name}) {{ option deprecated = true; }}
        If it is meant to work, answer it.
        """,
    )


def _services_of_other_servers(session: Session, missing: list[Method]) -> list[str]:
    """Services of a .proto of which the server has no method, while it has all methods of another service.

    A .proto may well define services for several servers. A service that the server knows but whose methods it lacks
    is not among them.
    """
    services = list(dict.fromkeys(method.service for method in missing))
    present = {method.service for method in session.methods if method not in missing}
    listed = (session.reflection and session.reflection.services) or ()
    if not present or session.project is not None or any(s in present or s in listed for s in services):
        return []
    if any(_NO_METHOD.search(session.replies[method.path].details) for method in missing):
        return []
    return services


def _serves_some_services(session: Session, missing: list[Method], other_services: list[str]) -> Finding:
    served = [name for name in dict.fromkeys(m.service for m in session.methods) if name not in other_services]
    return warned(
        f"{_replies(session, missing)}; {', '.join(served)} is served",
        f"The contract has several services, and this server does not have {', '.join(other_services)}. That is right "
        "if another server has it; otherwise its servicer was never added.",
        _add_servicer(missing[0]),
    )


def _missing(session: Session, missing: list[Method]) -> Finding:
    method, seen = missing[0], _replies(session, missing)
    details = session.replies[method.path].details
    if "http2 header with status" in details:
        return failed(
            seen,
            "A proxy (or a web framework) answers instead of the gRPC server, and does not know this path.",
            f"Route the path /{method.service}/ to the gRPC server, over HTTP/2; or verify the server by its own port.",
        )
    listed = None if session.reflection is None else session.reflection.services
    if listed is not None and method.service not in listed:
        return _service_not_listed(method, f"{seen}; reflection lists {', '.join(listed) or 'nothing'}", listed)
    if names := _reflected_methods(session, method):
        return _other_method_names(method, f"{seen}; the server's own contract has {', '.join(names)}", names)
    siblings = [m for m in session.methods if m.service == method.service and m not in missing]
    if _NO_METHOD.search(details) or siblings:
        names = [m.name for m in missing if m.service == method.service]
        return _not_overridden(seen, method, ", ".join(names))
    if path := _similar_path(session, method):
        return _served_under(f"{seen}; {path} is answered", path, method)
    return _servicer_not_added(seen, method, certain=listed is not None)


def _servicer_not_added(seen: str, method: Method, *, certain: bool) -> Finding:
    if certain:
        cause = f"The service {method.service} is not registered with the server: the servicer was never added."
    else:
        cause = (
            f"The server does not know {method.service}: the servicer was never added to the server, or its .proto has "
            "another package or service name."
        )
    return failed(seen, cause, _add_servicer(method))


def _service_not_listed(method: Method, seen: str, listed: tuple[str, ...]) -> Finding:
    package, _, service = method.service.rpartition(".")
    similar = _similar_service(method.service, own_services(listed))
    if similar is None:
        return _servicer_not_added(seen, method, certain=True)
    return failed(
        seen,
        f"The server has the service {similar}, but callers call {method.service}: package and service name are part "
        "of the path on the wire.",
        f"""
        Serve stubs that were generated from the contract's own .proto, which contains
            package {package};
            service {service} {{ ... }}
        or give callers the .proto of {similar}.
        """,
    )


def _other_method_names(method: Method, seen: str, names: list[str]) -> Finding:
    similar = next((name for name in names if name.lower() == method.name.lower()), None)
    similar = similar or next(iter(difflib.get_close_matches(method.name, names, 1, 0.6)), None)
    return failed(
        seen,
        f"The server's {method.service.rpartition('.')[2]} has no {method.name}"
        + (f", but has {similar}: names are part of the path on the wire, and case-sensitive." if similar else "."),
        f"""
        Use one .proto for server and callers, which contains
            rpc {method.name}({method.input.name}) returns ({method.output.name});
        and generate the stubs of both from it.
        """,
    )


def _not_overridden(seen: str, method: Method, names: str) -> Finding:
    service = method.service.rpartition(".")[2]
    argument = "request_iterator" if method.takes_stream else "request"
    return failed(
        seen,
        f"The service is registered, but its servicer has no {names}: the generated base class answers UNIMPLEMENTED "
        "for a method that is not overridden. Names are case-sensitive.",
        f"""
        Define it in the servicer class, with exactly this name:
            class {service}({service_module(method)}.{service}Servicer):
                def {method.name}(self, {argument}, context):
                    {"yield" if method.gives_stream else "return"} {new_message(method.output)}
        If this server does not offer {method.name} on purpose, leave it out here: --no-call {method.name}
        """,
    )


def _served_under(seen: str, path: str, method: Method) -> Finding:
    """The method is answered at another path."""
    service, _, name = path.lstrip("/").rpartition("/")
    if name != method.name:
        return failed(
            seen,
            f"The server has the method as {name}, but callers call {method.name}: names are part of the path on the "
            "wire, and case-sensitive.",
            f"Register it with the name that it has in the .proto: {method.name}.",
        )
    package = method.service.rpartition(".")[0]
    return failed(
        seen,
        f"The server serves {service}: its .proto has another package than the contract.",
        f"Put `package {package};` into the server's .proto and generate its stubs again, or remove it from the "
        "callers' .proto.",
    )


def _similar_service(service: str, listed: list[str]) -> str | None:
    """The service that is probably meant: one with the same last name, else one with a similar name."""
    last = service.rpartition(".")[2]
    same = [name for name in listed if name.rpartition(".")[2] == last]
    return next(iter(same or difflib.get_close_matches(service, listed, 1, 0.6)), None)


def _reflected_methods(session: Session, method: Method) -> list[str]:
    """The methods that the service has according to reflection; empty if `method` is one of them."""
    if session.reflection is None or session.interface is None or session.interface.source == "reflection":
        return []
    reflected = session.reflection.interface()
    names = [other.name for other in (reflected.methods if reflected else ()) if other.service == method.service]
    return [] if method.name in names else names


def _similar_path(session: Session, method: Method) -> str | None:
    """A path that differs in package or case, and is answered."""
    data = session.request(method).data
    for path in [path for path in dict.fromkeys(_path_variants(method)) if path != method.path][:_MOST_PROBES]:
        reply = session.client.call(path, data, _PROBE_SECONDS, stream=method.takes_stream, many=method.gives_stream)
        if reply.code is not grpc.StatusCode.UNIMPLEMENTED and not reply.connection_lost:
            return path
    return None


def _path_variants(method: Method) -> Iterator[str]:
    package, _, service = method.service.rpartition(".")
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method.name).lower()
    for name in (method.name[:1].lower() + method.name[1:], snake_case):
        if name != method.name:
            yield f"/{method.service}/{name}"
    if package:
        yield f"/{service}/{method.name}"
        without_version = re.sub(r"\.v\d+\w*$", "", package)
        yield f"/{without_version}.{service}/{method.name}"
        if without_version == package:
            yield f"/{package}.v1.{service}/{method.name}"


def _crashes(session: Session, method: Method, reply: Reply) -> Finding:
    ended = session.server_ended()
    what = "the server's process has ended" if ended else "the server's process ended, or it closed the connection"
    return failed(
        f"{method.path}: {reply}{session.exit_note()}",
        f"The connection broke during the call of {method.name}: {what}. Native code that crashes, os._exit and too "
        "little memory end a process.",
        f"Look at the server's log and exit code. Call {method.name} directly with the same request, and watch its "
        "memory use.",
    )


def _hangs(session: Session, method: Method, reply: Reply) -> Finding:
    quiet = silence.observe(session)
    return failed(
        f"{method.path}: {reply}; meanwhile {quiet}",
        quiet.cause(method.name),
        quiet.remedy(method.name) + f" If the model just takes longer than {session.timeout:g} s, raise --timeout.",
    )


def _add_servicer(method: Method) -> str:
    service = method.service.rpartition(".")[2]
    return f"""
    Add the servicer before server.start():
        {service_module(method)}.add_{service}Servicer_to_server({service}(), server)
    """


CHECK = Check("implemented", "every method is implemented", run, after="reachable", decisive=True)
