"""The checks of grpc.health.v1: it is there, it says SERVING, and it says so only when that is true."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc_health.v1 import health_pb2

from protoserve.verify.checks.base import Check
from protoserve.verify.client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.reflection import Reflection
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.session import BROKEN, Health, Session, lost
from protoserve.verify.session import CHECK as CHECK_PATH

_LIST = "/grpc.health.v1.Health/List"
_BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
_CALM_SECONDS = 4.0
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_REGISTER = """
    Python: pip install grpcio-health-checking, and before server.start():
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc
        checks = health.HealthServicer()      # grpc.aio: health.aio.HealthServicer()
        checks.set("", health_pb2.HealthCheckResponse.NOT_SERVING)    # aio: await checks.set(...)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        server.start()
        model = load()
        for name in ("", "{service}"):
            checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    Go: google.golang.org/grpc/health; Java: HealthStatusManager of io.grpc:grpc-services; Node: grpc-health-check.
    """
_SET = """
    Once the model is loaded, say so under both names:
        for name in ("", "{service}"):
            checks.set(name, health_pb2.HealthCheckResponse.SERVING)    # grpc.aio: await checks.set(...)
    """
_OWN = """
    Use the stock servicer of your gRPC library in place of one of your own. If you keep yours:
        def Check(self, request, context):
            if request.service not in self.states:
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return health_pb2.HealthCheckResponse(status=self.states[request.service])
    """


def service(session: Session) -> Finding:
    """`health-service`."""
    health = _calm(session)
    reply, seen = health.reply, f'Check of "": {health.reply}'
    if (why := elsewhere(session, reply)) is not None:
        return skipped(why)
    if reply.ok:
        return passed(f'Check of "" answers {health}') if _is_response(reply) else _no_response(session, reply)
    if reply.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE):
        return passed(f'the service is there; Check of "" answers {reply.code.name}')
    if reply.code is grpc.StatusCode.UNIMPLEMENTED:
        return _missing(session, seen)
    if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return failed(
            f"{seen}, while nothing else ran",
            "The health service does not answer: its Check waits for something (the model, a lock, a database), or the "
            "server has no thread left for it, or its event loop is blocked.",
            "Let Check only read a value that something else sets; it must compute nothing and wait for nothing.",
        )
    if reply.code in _REFUSED:
        return failed(
            seen,
            "An interceptor wants credentials for every call, for those of the health service too. Probes have none.",
            """
            Let the interceptor pass the health service on:
                def intercept_service(self, continuation, details):
                    if details.method.startswith("/grpc.health.v1.Health/"):
                        return continuation(details)
            """,
        )
    return failed(
        seen,
        "The health service is registered, and its Check fails: it raised an exception, or answers with something that "
        "is no HealthCheckResponse.",
        _OWN,
    )


def _calm(session: Session) -> Health:
    """The answer of Check when nothing else runs: the server may still be at calls that earlier checks gave up."""
    until = time.monotonic() + _CALM_SECONDS
    while (health := session.health("")).reply.code in _BUSY and time.monotonic() < until and session.left():
        time.sleep(0.1)
    return health


def elsewhere(session: Session, reply: Reply) -> str | None:
    """Why an answer of the health service tells nothing about health: a method took the server down, or blocks it."""
    if lost(reply):
        return f"the server is gone, or takes no connection any more: {reply}"
    if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        hangs = [path for path, said in session.replies.items() if said.code is grpc.StatusCode.DEADLINE_EXCEEDED]
        if hangs:
            return f"the server does not answer since {hangs[0]} hangs; implemented tells about that"
    return None


def _is_response(reply: Reply) -> bool:
    try:
        message = health_pb2.HealthCheckResponse.FromString(reply.messages[0])
        health_pb2.HealthCheckResponse.ServingStatus.Name(message.status)
    except (ValueError, DecodeError):
        return False
    unknown = UnknownFieldSet(message)
    return len(unknown) == 0


def _no_response(session: Session, reply: Reply) -> Finding:
    data = reply.messages[0]
    return failed(
        f'Check of "": OK with {len(data)} bytes {data[:32]!r}, which are no grpc.health.v1.HealthCheckResponse',
        "Something answers under the name of the health service, with another message: a health method of the server's "
        "own (a text such as 'SERVING', JSON), made from another .proto than grpc.health.v1.",
        _REGISTER.format(service=_name(session)),
    )


def _missing(session: Session, seen: str) -> Finding:
    shown = session.reflection.services if session.reflection is not None else Reflection(session.client).services
    listed = "the server has no reflection" if shown is None else f"reflection lists {', '.join(shown) or 'nothing'}"
    if shown is not None and "grpc.health.v1.Health" in shown:
        return failed(
            f"{seen}; {listed}",
            "grpc.health.v1.Health is registered, and its Check is not overridden: the generated base class answers "
            "UNIMPLEMENTED. A name in another case (check) is another method.",
            _OWN,
        )
    if own := next(_own_health(session, shown), None):
        return failed(
            f"{seen}; {listed}; {own} is there",
            f"The server has a health method of its own, {own}. Platforms and probes ask {CHECK_PATH}, of exactly this "
            "package and name, and know no other.",
            _REGISTER.format(service=_name(session)),
        )
    return failed(
        f"{seen}; {listed}",
        "The server has no grpc.health.v1.Health, the service that platforms and probes ask whether it is ready.",
        _REGISTER.format(service=_name(session)),
    )


def _own_health(session: Session, shown: tuple[str, ...] | None) -> Iterator[str]:
    """Paths of health methods under other names: those of the contract, and those that are answered."""
    for method in session.methods:
        if "health" in method.name.lower() or "health" in method.service.rpartition(".")[2].lower():
            yield method.path
    listed = [name for name in shown or () if "health" in name.rpartition(".")[2].lower()]
    packages = dict.fromkeys(name.rpartition(".")[0] for name in _services(session))
    guessed = [*(f"{package}.Health".lstrip(".") for package in packages), "Health", "grpc.health.v1alpha.Health"]
    for name in dict.fromkeys([*listed, *guessed]):
        path = f"/{name}/Check"
        if session.client.call(path, b"", 1.0).code is not grpc.StatusCode.UNIMPLEMENTED:
            yield path
        elif name in listed:
            yield f"/{name}"


def serving(session: Session) -> Finding:
    """`health-serving`."""
    if session.interface is None and session.reflection is None:
        session.reflect()
    readiness = session.readiness()
    names = ("", *_services(session))
    times = []
    for name in names:
        health = Health("SERVING", readiness.last[name].reply) if name in readiness.serving else session.health(name)
        if health.status != "SERVING":
            if (why := elsewhere(session, health.reply)) is not None:
                return skipped(why)
            return _not_serving(session, name, health)
        times.append(f'"{name}" after {readiness.serving.get(name, session.timeout):.2f} s')
    return passed("SERVING: " + ", ".join(times))


def _not_serving(session: Session, name: str, health: Health) -> Finding:
    waited = f"{session.timeout:g} s" if health.waits else f"{health.reply.seconds:.2f} s"
    seen = f'Check of "{name}": {health}, after {waited}' if health.status else f'Check of "{name}": {health}'
    remedy = _SET.format(service=_name(session))
    what = "the server as a whole" if not name else f"the service {name}"
    answer = session.readiness().answer
    if health.status == "NOT_SERVING":
        if answer is not None and answer.code not in BROKEN:
            cause = (
                f"{session.methods[0].name} answers, and health still says NOT_SERVING for {what}: nothing sets it "
                "when the model is loaded."
            )
        else:
            cause = (
                f"Loading did not end (raise --timeout for a slow model) or failed, or nothing sets {what} when it has."
            )
        return failed(seen, cause, remedy)
    if health.reply.code is grpc.StatusCode.NOT_FOUND:
        return _not_found(session, name, seen, remedy)
    if health.reply.code is grpc.StatusCode.UNAVAILABLE:
        return failed(
            f"{seen}; waited {waited}",
            "Loading did not end (raise --timeout for a slow model) or failed, or a proxy answers for a server that is "
            "not there.",
            remedy,
        )
    if health.status in ("UNKNOWN", "SERVICE_UNKNOWN"):
        return failed(
            seen,
            f"Check answers with status {health.status} for {what}: a response whose status nobody sets (UNKNOWN is "
            "what an empty HealthCheckResponse says), or a name that the server does not know.",
            _OWN,
        )
    return failed(
        seen,
        f"Check of {what} fails: it raised an exception for this name (such as KeyError), waits for something, or "
        "answers with something else than a HealthCheckResponse.",
        _OWN,
    )


def _not_found(session: Session, name: str, seen: str, remedy: str) -> Finding:
    if not name:
        return failed(
            seen,
            'The name "" is not registered. It means the whole server, and probes ask for it unless they are told '
            "another name.",
            remedy,
        )
    if close := _registered(session, name):
        return failed(
            f'{seen}; "{close}" is registered',
            f'The health service knows "{close}" and not "{name}": names are compared letter by letter, with the '
            "package.",
            f"""
            Register the full name of the service; take it from the stubs, where it cannot be mistyped:
                name = prediction_pb2.DESCRIPTOR.services_by_name["{name.rpartition(".")[2]}"].full_name
                checks.set(name, health_pb2.HealthCheckResponse.SERVING)    # grpc.aio: await checks.set(...)
            """,
        )
    return failed(
        seen,
        f'Health was never set for the service "{name}"; whoever asks for it by name is told NOT_FOUND.',
        remedy,
    )


def _registered(session: Session, name: str) -> str | None:
    """A name that the health service knows and that was probably meant: from its List, else by trying some."""
    reply = session.client.call(_LIST, b"", 2.0)
    if reply.ok:
        try:
            known = list(health_pb2.HealthListResponse.FromString(reply.messages[0]).statuses)  # type: ignore[attr-defined]
        except DecodeError:
            known = []
        tails = [other for other in known if other and other.rpartition(".")[2].lower() in name.lower()]
        return next(iter(tails or difflib.get_close_matches(name, [other for other in known if other], 1, 0.6)), None)
    package, _, last = name.rpartition(".")
    tried = dict.fromkeys((last, package, name.lower(), f"/{name}", f"{name}Servicer", last.lower()))
    return next((other for other in tried if other and session.health(other).status is not None), None)


def _services(session: Session) -> tuple[str, ...]:
    """The services of the contract, without such as the server does not have at all (`implemented` tells of them)."""

    def absent(methods: list[Method]) -> bool:
        replies = [session.replies.get(method.path) for method in methods]
        return all(reply is not None and reply.code is grpc.StatusCode.UNIMPLEMENTED for reply in replies)

    found = session.interface.services if session.interface else ()
    return tuple(name for name in found if not absent([m for m in session.methods if m.service == name]))


def _name(session: Session) -> str:
    """The service to name in a remedy."""
    found = session.interface.services if session.interface else ()
    return found[0] if found else "your.package.YourService"


SERVICE = Check("health-service", "grpc.health.v1 is there", service, after="reachable")
SERVING = Check("health-serving", "health says SERVING in time", serving, after="health-service")
