"""Waits for a server to become ready, and records what health and the first method answered meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protoserve.verify.error_texts import may_be_loading, says_not_ready
from protoserve.verify.grpc_client import Reply
from protoserve.verify.health_client import Health
from protoserve.verify.request_search import find_accepted_request

if TYPE_CHECKING:
    from protoserve.verify.session import Session

_HEALTH_PAUSE = 0.05  # short, to catch a server that says SERVING a second too early
# Longer, and growing, since each call that fails may leave a traceback in the server's log.
_RETRY_PAUSE, _LONGEST_PAUSE = 0.25, 1.0


@dataclass(slots=True)
class Readiness:
    """How the server became ready. Seconds count from the start of the server or of the run.

    `serving_after`: when health first said SERVING, by service name. `last`: the last answer of Check for each name.
    `not_serving_until`: when a name last said NOT_SERVING; None if none did. `first_reply`: the answer to a call of the
    first method that was sent as soon as a name said SERVING; None if none did. `settled_reply`: the method's answer
    once it no longer changed, at `settled_after`; None without methods. `attempts` is how often the method was called.
    """

    serving_after: dict[str, float] = field(default_factory=dict)
    last: dict[str, Health] = field(default_factory=dict)
    not_serving_until: float | None = None
    first_reply: Reply | None = None
    settled_reply: Reply | None = None
    settled_after: float = 0.0
    attempts: int = 0

    @property
    def premature_reply(self) -> Reply | None:
        """An error of the first method while health said SERVING and the model was not ready, or never became so."""
        first, settled = self.first_reply, self.settled_reply
        if first is None or settled is None or first.connection_lost or settled.connection_lost:
            return None
        if may_be_loading(first) and not may_be_loading(settled):
            return first
        return settled if says_not_ready(settled) else None


def wait_until_ready(session: Session) -> Readiness:
    """Waits, at most `session.timeout` since the start, until health says SERVING and the first method answers."""
    readiness = Readiness(not_serving_until=session.not_serving_until)
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
    if session.methods:
        _call_until_settled(session, readiness, deadline)
    return readiness


def wait_while_starting(session: Session) -> None:
    """Waits while health says that the server is still starting: one that this run started may yet end by itself."""
    deadline = session.started + session.timeout
    while time.monotonic() < deadline and session.left() and not session.server_ended():
        health = session.health("")
        if health.status == "NOT_SERVING":
            session.not_serving_until = session.age()
        if not health.may_be_starting:
            return
        time.sleep(min(_HEALTH_PAUSE, session.left()))


def _ask_health(session: Session, readiness: Readiness, names: tuple[str, ...]) -> None:
    """Calls Check for each name that has not been SERVING yet."""
    for name in names:
        if name in readiness.serving_after:
            continue
        health = readiness.last[name] = session.health(name)
        if health.status == "SERVING":
            readiness.serving_after[name] = session.age()
        elif health.status == "NOT_SERVING":
            readiness.not_serving_until = session.age()


def _call_until_settled(session: Session, readiness: Readiness, deadline: float) -> None:
    """Calls the first method again and again while the model may still be loading.

    Where health never said SERVING, an exception counts at once: only a text about the server's state is waited for.
    """
    method = session.methods[0]
    reply = readiness.first_reply
    if reply is None:
        reply = find_accepted_request(session, method)
    readiness.attempts, pause = 1, _RETRY_PAUSE
    is_waited_for = says_not_ready if readiness.first_reply is None else may_be_loading
    while is_waited_for(reply) and time.monotonic() < deadline and session.left() and not session.server_ended():
        time.sleep(min(pause, session.left()))
        pause = min(1.25 * pause, _LONGEST_PAUSE)
        reply = session.ask(method, session.request(method).data)
        readiness.attempts += 1
    readiness.settled_reply, readiness.settled_after = reply, session.age()
