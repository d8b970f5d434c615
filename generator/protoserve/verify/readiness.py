"""Waits for a server to become ready, and records what health and the first method answered meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from protoserve.verify.grpc_client import Reply
from protoserve.verify.health_client import Health
from protoserve.verify.request_search import find_accepted_request

if TYPE_CHECKING:
    from protoserve.verify.session import Session

# A method that fails while health says SERVING may still be loading its model: it is called again for this long.
SETTLING_SECONDS = 2.0
_HEALTH_PAUSE = 0.05  # short, to catch a server that says SERVING a second too early
_RETRY_PAUSE = 0.25  # longer, since each attempt that fails may leave a traceback in the server's log
ERRORS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


@dataclass(slots=True)
class Readiness:
    """How the server became ready. Seconds count from the start of the server or of the run.

    `serving_after`: when health first said SERVING, by service name. `last`: the last answer of Check for each name.
    `first_reply`: the answer to a call of the first method that was sent as soon as health said SERVING; None if it
    never did. `settled_reply`: the method's answer once it stopped changing, at `settled_after`; None without methods.
    """

    serving_after: dict[str, float] = field(default_factory=dict)
    last: dict[str, Health] = field(default_factory=dict)
    first_reply: Reply | None = None
    settled_reply: Reply | None = None
    settled_after: float = 0.0
    waited: float = 0.0

    @property
    def premature_reply(self) -> Reply | None:
        """An error of the first method while health said SERVING and the model was not ready, or never became so."""
        first, settled = self.first_reply, self.settled_reply
        if first is None or settled is None or first.connection_lost or settled.connection_lost:
            return None
        if first.code in ERRORS and settled.code not in ERRORS:
            return first
        return settled if settled.code is grpc.StatusCode.UNAVAILABLE else None


def wait_until_ready(session: Session) -> Readiness:
    """Waits, at most `session.timeout` since the start, until health says SERVING and the first method answers."""
    readiness, began = Readiness(), time.monotonic()
    deadline = session.started + session.timeout
    names = ("", *(session.interface.services if session.interface else ()))
    while True:
        _ask_health(session, readiness, names)
        if readiness.serving_after and readiness.first_reply is None and session.methods:
            # At once, as the first caller behind a platform would.
            readiness.first_reply = find_accepted_request(session, session.methods[0])
        starting = any(health.may_be_starting for health in readiness.last.values())
        if not starting or time.monotonic() >= deadline or not session.left() or session.server_ended():
            break
        time.sleep(min(_HEALTH_PAUSE, session.left()))
    if any(health.status for health in readiness.last.values()):
        readiness.waited = time.monotonic() - began
    if session.methods:
        readiness.settled_reply = _settled_reply(session, readiness.first_reply, deadline)
        readiness.settled_after = time.monotonic() - session.started
    return readiness


def wait_while_starting(session: Session) -> None:
    """Waits while health says that the server is still starting: one that this run started may yet end by itself."""
    deadline = session.started + session.timeout
    while time.monotonic() < deadline and session.left() and not session.server_ended():
        if not session.health("").may_be_starting:
            return
        time.sleep(min(_HEALTH_PAUSE, session.left()))


def _ask_health(session: Session, readiness: Readiness, names: tuple[str, ...]) -> None:
    """Calls Check for each name that has not been SERVING yet."""
    for name in names:
        if name in readiness.serving_after:
            continue
        health = readiness.last[name] = session.health(name)
        if health.status == "SERVING":
            readiness.serving_after[name] = time.monotonic() - session.started


def _settled_reply(session: Session, first_reply: Reply | None, deadline: float) -> Reply:
    """The first method's answer; the call is repeated while the model may still be loading."""
    settling_ends = min(deadline, time.monotonic() + SETTLING_SECONDS)
    method = session.methods[0]
    reply = find_accepted_request(session, method) if first_reply is None else first_reply
    while reply.code in ERRORS and not reply.connection_lost and session.left() and not session.server_ended():
        unavailable = reply.code is grpc.StatusCode.UNAVAILABLE
        if time.monotonic() >= (deadline if unavailable else settling_ends):
            break
        if first_reply is None and not unavailable:
            break  # health never said SERVING, so an error other than UNAVAILABLE is the final answer
        time.sleep(min(_RETRY_PAUSE, session.left()))
        reply = session.ask(method, session.request(method).data)
    return reply
