"""`health-service` and `health-serving`: the server has grpc.health.v1, and says SERVING once it has started."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc_health.v1 import health_pb2

from protoserve.verify import error_texts, health_client
from protoserve.verify.checks import code_names, credentials
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.method_calls import call_valid, timeout_for, working_methods
from protoserve.verify.checks.stopping import server_is_gone
from protoserve.verify.error_texts import may_be_loading
from protoserve.verify.grpc_client import Client, Reply
from protoserve.verify.health_client import CHECK as CHECK_PATH
from protoserve.verify.health_client import LIST, Health
from protoserve.verify.reflection import Reflection
from protoserve.verify.report import Finding, Verdict, combined, failed, passed, warned
from protoserve.verify.session import Session
from protoserve.verify.traffic import NO_SUCH_METHOD

_BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
_BUSY_SECONDS = 4.0
_CONTROL_SECONDS = 2.0
_PROXY = re.compile(r"http2 header with status|upstream", re.I)
_LET_HEALTH_THROUGH = """
    Let the interceptor pass calls of the health service through:
        def intercept_service(self, continuation, details):
            if details.method.startswith("/grpc.health.v1.Health/"):
                return continuation(details)
    """


def service(session: Session) -> Finding:
    """`health-service`."""
    health = _health_when_idle(session)
    reply, seen = health.reply, f'Check of "": {health.reply}'
    if (gone := server_is_gone(session, reply, 'Check of ""')) is not None:
        return gone
    if reply.ok and not _is_response(reply):
        return _another_message(session, reply)
    if reply.ok:
        return _needs_metadata(session) or passed(f'Check of "" answers {health}')
    if reply.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE):
        return passed(f'the service is there; Check of "" answers {reply.code.name}')
    if reply.code is grpc.StatusCode.UNIMPLEMENTED:
        return _missing(session, seen)
    if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _silent(session, seen)
    if reply.code in credentials.REFUSALS:
        whose = (
            "the health service" if working_methods(session) else "every call, including those of the health service"
        )
        return failed(
            seen,
            f"The server requires credentials for {whose}, most often in an interceptor. Probes have no credentials.",
            _LET_HEALTH_THROUGH,
        )
    return failed(seen, f"The health service is registered, but its Check fails: {why_check_fails(reply)}.", USE_STOCK)


def _needs_metadata(session: Session) -> Finding | None:
    """A warning if health answers only to callers with the metadata of this run, which probes do not have."""
    if not session.metadata.pairs:
        return None
    client = Client(session.address, session.left)
    try:
        bare = health_client.check(client, "")
    finally:
        session.client.requests += client.requests
        client.close()
    if bare.reply.code not in credentials.REFUSALS:
        return None
    return warned(
        f'Check of "" without the metadata of this run: {bare.reply}',
        "The health service requires credentials, and a platform's probes have none.",
        _LET_HEALTH_THROUGH,
    )


def _health_when_idle(session: Session) -> Health:
    """The answer of Check once the server is idle: it may still be busy with calls that earlier checks gave up."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while (health := session.health("")).reply.code in _BUSY and time.monotonic() < deadline and session.left():
        time.sleep(0.1)
    return health


def _silent(session: Session, seen: str) -> Finding:
    """Check is not answered, although this run has no other call under way."""
    control = session.client.call(NO_SUCH_METHOD, b"", _CONTROL_SECONDS)
    seen += f", while no other call of this run was under way; a method that does not exist: {control}"
    if (method := next(iter(working_methods(session)), None)) is not None:
        reply = call_valid(session, method, timeout_for(session, session.replies[method.path].seconds))
        seen += f"; {method.path}: {reply}"
        cause = (
            "Check does not answer: it waits for something (the model, a lock, a database), while methods are answered."
        )
        if not reply.ok:
            cause = "No handler is answered, neither Check nor the methods: no worker is free, or none runs."
    else:
        cause = (
            "Check does not answer, while calls that need no worker are refused at once: it waits for something, or no "
            "worker is free for it."
        )
    return failed(seen, cause, "Let Check only read a value that is set elsewhere; it must not compute or wait.")


def _is_response(reply: Reply) -> bool:
    try:
        message = health_pb2.HealthCheckResponse.FromString(reply.messages[0])
        health_pb2.HealthCheckResponse.ServingStatus.Name(message.status)
    except (ValueError, DecodeError):
        return False
    unknown = UnknownFieldSet(message)
    return len(unknown) == 0


def _another_message(session: Session, reply: Reply) -> Finding:
    data = reply.messages[0]
    return failed(
        f'Check of "": OK with {len(data)} bytes {data[:32]!r}, which are not a grpc.health.v1.HealthCheckResponse',
        "The method has the path of the health service but returns another message (a text such as 'SERVING', or "
        "JSON): it was written by hand, or generated from another .proto than grpc.health.v1.",
        register_remedy(session),
    )


def _missing(session: Session, seen: str) -> Finding:
    reflection = session.reflection or Reflection(session.client)
    listed = reflection.services
    if listed is None:
        seen += "; the server has no reflection"
    else:
        seen += f"; reflection lists {', '.join(listed) or 'nothing'}"
    if listed is not None and "grpc.health.v1.Health" in listed:
        return failed(
            seen,
            "grpc.health.v1.Health is registered, but Check is not overridden: the generated base class answers "
            "UNIMPLEMENTED. Names are case-sensitive: check is another method.",
            USE_STOCK,
        )
    if custom := next(_custom_health_methods(session, listed), None):
        return failed(
            f"{seen}; {custom} exists",
            f"The server has a health method of its own, {custom}. Platforms and probes call {CHECK_PATH}, with "
            "exactly this package and name.",
            register_remedy(session),
        )
    return failed(
        seen,
        "The server has no grpc.health.v1.Health, the service that platforms and probes ask whether it is ready.",
        register_remedy(session),
    )


def _custom_health_methods(session: Session, listed: tuple[str, ...] | None) -> Iterator[str]:
    """Paths of health methods under other names: those of the contract, then those that the server answers."""
    for method in session.methods:
        if "health" in method.name.lower() or "health" in method.service.rpartition(".")[2].lower():
            yield method.path
    reflected = [name for name in listed or () if "health" in name.rpartition(".")[2].lower()]
    packages = dict.fromkeys(name.rpartition(".")[0] for name in _present_services(session))
    guesses = [*(f"{package}.Health".lstrip(".") for package in packages), "Health", "grpc.health.v1alpha.Health"]
    for name in dict.fromkeys([*reflected, *guesses]):
        path = f"/{name}/Check"
        if session.client.call(path, b"", 1.0).code is not grpc.StatusCode.UNIMPLEMENTED:
            yield path
        elif name in reflected:
            yield f"/{name}"


def serving(session: Session) -> Finding:
    """`health-serving`: each name by itself."""
    if session.interface is None and session.reflection is None:
        session.reflect()
    session.readiness()
    names = ("", *_present_services(session))
    judged = [_judge_name(session, name) for name in names]
    finding = combined(judged)
    if finding.verdict is Verdict.PASS:
        return passed("SERVING: " + ", ".join(each.seen for each in judged))
    good = [name for name, each in zip(names, judged, strict=True) if each.verdict is Verdict.PASS]
    others = "".join(f'; Check of "{name}": SERVING' for name in good)
    return replace(finding, seen=finding.seen + others)


def _judge_name(session: Session, name: str) -> Finding:
    if (after := session.readiness().serving_after.get(name)) is not None:
        return passed(f'"{name}" after {after:.2f} s')
    health = session.health(name)
    if health.status == "SERVING":
        return passed(f'"{name}" after {session.age():.2f} s')
    gone = server_is_gone(session, health.reply, f'Check of "{name}"')
    return _not_serving(session, name, health) if gone is None else gone


def _not_serving(session: Session, name: str, health: Health) -> Finding:
    subject = f"the service {name}" if name else "the server as a whole"
    seen = f'Check of "{name}": {health}'
    if health.status is not None:
        seen += f", {session.age():.0f} s after the start"
    if health.status == "NOT_SERVING":
        return failed(seen, _why_not_serving(session, subject), _set_serving(session))
    if health.reply.code is grpc.StatusCode.NOT_FOUND:
        return _not_found(session, name, seen)
    if health.reply.code is grpc.StatusCode.UNAVAILABLE:
        return failed(f"{seen}; waited {session.timeout:g} s", _why_unavailable(session, health), _set_serving(session))
    if health.status is not None:
        return failed(
            seen,
            f"Check answers with status {health.status} for {subject}. An empty HealthCheckResponse, in which no "
            "status was set, says UNKNOWN; for a name that it does not know, Check should answer NOT_FOUND.",
            USE_STOCK,
        )
    return failed(seen, f"Check of {subject} fails: {why_check_fails(health.reply, 'for this name ')}.", USE_STOCK)


def _why_unavailable(session: Session, health: Health) -> str:
    if _PROXY.search(health.reply.details):
        return "A proxy answers, whose server is not running."
    cause = "Loading did not end (raise --timeout for a slow model) or failed: so says Check itself"
    reply = session.readiness().settled_reply
    return f"{cause}, although {session.methods[0].name} answers." if reply is not None and reply.ok else f"{cause}."


def why_check_fails(reply: Reply, when: str = "") -> str:
    """What an error of Check shows."""
    if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{when}it waits for something, or no worker is free for it"
    if reply.ok or error_texts.UNSERIALIZABLE_REPLY.search(reply.details):
        return f"{when}it returns something other than a HealthCheckResponse"
    return (
        f"{when}it raises an exception (such as KeyError)"
        if reply.code in error_texts.EXCEPTIONS
        else f"{when}it refuses"
    )


def _why_not_serving(session: Session, subject: str) -> str:
    """What the first method answers shows whether the model is there."""
    reply = session.readiness().settled_reply
    if reply is None:
        return (
            f"Loading did not end (raise --timeout for a slow model) or failed, or {subject} is never set to SERVING."
        )
    name = session.methods[0].name
    if reply.ok:
        return f"{name} answers, so the model is there: the status is never set for {subject} after it has loaded."
    if may_be_loading(reply):
        return (
            f"Loading did not end (raise --timeout for a slow model) or failed: {name} answers {reply.code.name}, too."
        )
    return f"{name} answers {reply.code.name}, and the status is never set for {subject}."


def _not_found(session: Session, name: str, seen: str) -> Finding:
    if not name:
        return failed(
            seen,
            'The name "" is not registered. It stands for the whole server, and probes ask for it unless they are '
            "configured with another name.",
            _set_serving(session),
        )
    if similar := _similar_registered_name(session, name):
        return failed(
            f'{seen}; "{similar}" is registered',
            f'The health service knows "{similar}" but not "{name}": names must match exactly, including the package.',
            f"""
            Register the full name of the service; take it from the stubs, so that it cannot be mistyped:
                name = {_stubs_of(session, name)}.DESCRIPTOR.services_by_name["{name.rpartition(".")[2]}"].full_name
                checks.set(name, health_pb2.HealthCheckResponse.SERVING)    # grpc.aio: await checks.set(...)
            """,
        )
    # A probe of Kubernetes asks for "" unless its specification names another service.
    finding = warned if session.platform == "kubernetes" else failed
    return finding(
        seen,
        f'Health was never set for the service "{name}"; a client that asks for it by name gets NOT_FOUND.',
        _set_serving(session),
    )


def _stubs_of(session: Session, service: str) -> str:
    """The module of the stubs that define the service."""
    return next(code_names.module(method.file) for method in session.methods if method.service == service)


def _similar_registered_name(session: Session, name: str) -> str | None:
    """A similar name that the health service knows: from its List method, else by trying some."""
    package, _, last = name.rpartition(".")
    reply = session.client.call(LIST, b"", 2.0)
    if not reply.ok:
        variants = dict.fromkeys((last, package, name.lower(), f"/{name}", f"{name}Servicer", last.lower()))
        return next((other for other in variants if other and session.health(other).status is not None), None)
    try:
        statuses = health_pb2.HealthListResponse.FromString(reply.messages[0]).statuses  # type: ignore[attr-defined]
    except DecodeError:
        return None
    registered = [other for other in statuses if other]
    same_ending = [other for other in registered if other.rpartition(".")[2].lower() in name.lower()]
    return next(iter(same_ending or difflib.get_close_matches(name, registered, 1, 0.6)), None)


def _present_services(session: Session) -> tuple[str, ...]:
    """The services of the contract without those that the server does not have at all: see the check `implemented`."""

    listed = (session.reflection and session.reflection.services) or ()

    def absent(service: str) -> bool:
        replies = [session.replies.get(method.path) for method in session.methods if method.service == service]
        if not replies:  # none of its methods is called
            return bool(session.methods) and service not in listed
        return all(reply is not None and reply.code is grpc.StatusCode.UNIMPLEMENTED for reply in replies)

    services = session.interface.services if session.interface else ()
    return tuple(service for service in services if not absent(service))


def _example_service(session: Session) -> str:
    """The service to name in a remedy."""
    services = session.interface.services if session.interface else ()
    return services[0] if services else "your.package.YourService"


def register_remedy(session: Session) -> str:
    """How a server says NOT_SERVING while it loads, and SERVING after that."""
    return _REGISTER.format(service=_example_service(session))


def _set_serving(session: Session) -> str:
    return _SET_SERVING.format(service=_example_service(session))


_REGISTER = """
    Python: pip install grpcio-health-checking, and before server.start():
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc
        checks = health.HealthServicer()      # grpc.aio: health.aio.HealthServicer()
        checks.set("", health_pb2.HealthCheckResponse.NOT_SERVING)    # aio: await checks.set(...)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        server.start()
        model = load()
        model.predict(sample)                 # the first answer may take longer than later ones
        for name in ("", "{service}"):
            checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    Go: google.golang.org/grpc/health; Java: HealthStatusManager of io.grpc:grpc-services; Node: grpc-health-check.
    """
_SET_SERVING = """
    After the model has loaded, set the status under both names:
        for name in ("", "{service}"):
            checks.set(name, health_pb2.HealthCheckResponse.SERVING)    # grpc.aio: await checks.set(...)
    """
USE_STOCK = """
    Use the health servicer of your gRPC library, whose Watch does not hold a thread:
        from grpc_health.v1 import health
        checks = health.HealthServicer()      # grpc.aio: health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    If you keep your own:
        def Check(self, request, context):
            if request.service not in self.states:
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")      # grpc.aio: await context.abort(...)
            return health_pb2.HealthCheckResponse(status=self.states[request.service])
    """

SERVICE = Check("health-service", "the server has grpc.health.v1", service, after="reachable", decisive=True)
SERVING = Check("health-serving", "health says SERVING in time", serving, after="health-service", decisive=True)
