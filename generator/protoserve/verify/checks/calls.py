"""What the checks share that call methods again and again: which methods, how long to wait, and what to say of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import grpc

from protoserve.verify.client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, Verdict, passed, skipped
from protoserve.verify.session import Session, lost

# A contract may have a hundred methods: so many are enough to judge the server.
MOST_METHODS = 8


def able(session: Session) -> list[Method]:
    """The methods that have answered a valid request with OK."""
    answered = [m for m in session.methods if (reply := session.replies.get(m.path)) is not None and reply.ok]
    return answered[:MOST_METHODS]


def unable(session: Session) -> Finding:
    """Why no method can be judged."""
    if not session.methods:
        return skipped("no contract, so no method to call; give --proto FILE or --project FOLDER")
    said = ", ".join(
        f"{m.name}: {session.replies[m.path].code.name}" for m in session.methods if m.path in session.replies
    )
    return skipped(f"no method has answered a valid request with OK ({said or 'none was asked'})")


def ask_valid(session: Session, method: Method, timeout: float) -> Reply:
    """The answer to the valid request of the method."""
    return session.ask(method, session.request(method).data, timeout)


def patience(session: Session, usual: float) -> float:
    """How long a call may take that usually takes `usual` seconds, before it counts as one without an answer."""
    return min(session.timeout, 4 * usual + 4)


def silent(reply: Reply, timeout: float) -> bool:
    """Whether our own deadline ended the call; a server may say DEADLINE_EXCEEDED too, and does it sooner."""
    return reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and reply.seconds >= 0.9 * timeout


def spoiled(session: Session, method: Method, reply: Reply) -> None:
    """Keeps what the method has come to: the checks that follow do not blame the server for it once more."""
    session.replies[method.path] = reply


def gone(session: Session, method: Method, reply: Reply) -> Finding | None:
    """A skip where a method does not answer any more what it answered before: another check has told why."""
    if reply.ok:
        return None
    why = "the connection breaks" if lost(reply) else "it no longer answers its valid request"
    return skipped(f"{method.name}: {why}: {reply}")


def together(findings: Iterable[Finding]) -> Finding:
    """One finding for several methods: the first failure, else the first warning, else what passed."""
    found: Sequence[Finding] = list(findings)
    for verdict in (Verdict.FAIL, Verdict.WARN):
        if bad := next((finding for finding in found if finding.verdict is verdict), None):
            return bad
    seen = "; ".join(dict.fromkeys(finding.seen for finding in found))
    return passed(seen) if any(finding.verdict is Verdict.PASS for finding in found) else skipped(seen)
