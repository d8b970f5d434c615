"""What the checks share that call methods again and again: which methods, how long to wait, how to combine findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import grpc

from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, Verdict, first_with, passed, skipped
from protoserve.verify.session import Session

# A contract may have a hundred methods; this many are enough to judge the server.
MOST_METHODS = 8


def for_each_method(session: Session, judge: Callable[[Session, Method], Finding]) -> Finding:
    """One finding for all methods that work, or a skip if none does."""
    methods = working_methods(session)
    return combined(judge(session, method) for method in methods) if methods else no_working_method(session)


def working_methods(session: Session) -> list[Method]:
    """The methods that have answered their valid request with OK, at most MOST_METHODS."""
    working = [m for m in session.methods if (reply := session.replies.get(m.path)) is not None and reply.ok]
    return working[:MOST_METHODS]


def no_working_method(session: Session) -> Finding:
    """Why no method can be judged."""
    if not session.methods:
        return skipped("no contract, so no method to call; use --proto FILE or --project FOLDER")
    codes = ", ".join(
        f"{m.name}: {session.replies[m.path].code.name}" for m in session.methods if m.path in session.replies
    )
    return skipped(f"no method has answered a valid request with OK ({codes or 'none was called'})")


def call_valid(session: Session, method: Method, timeout: float) -> Reply:
    """The answer to the method's valid request."""
    return session.ask(method, session.request(method).data, timeout)


def timeout_for(session: Session, usual: float) -> float:
    """The timeout, in seconds, of a call that usually takes `usual` seconds."""
    return min(session.timeout, 4 * usual + 4)


def timed_out(reply: Reply, timeout: float) -> bool:
    """Whether our own timeout ended the call; a DEADLINE_EXCEEDED from the server comes sooner."""
    return reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and reply.seconds >= 0.9 * timeout


def record_failure(session: Session, method: Method, reply: Reply) -> None:
    """Remembers that the method no longer works, so that later checks do not blame the server once more."""
    session.replies[method.path] = reply


def stopped_working(method: Method, reply: Reply) -> Finding | None:
    """A skip if the method no longer answers its valid request: another check has reported why."""
    if reply.ok:
        return None
    problem = "the connection breaks" if reply.connection_lost else "it no longer answers its valid request"
    return skipped(f"{method.name}: {problem}: {reply}")


def combined(findings: Iterable[Finding]) -> Finding:
    """One finding for several methods: the first failure, else the first warning, else what was seen of all."""
    judged = list(findings)
    if (bad := first_with(judged, Verdict.FAIL, Verdict.WARN)) is not None:
        return bad
    seen = "; ".join(dict.fromkeys(finding.seen for finding in judged))
    return passed(seen) if any(finding.verdict is Verdict.PASS for finding in judged) else skipped(seen)
