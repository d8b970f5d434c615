"""What the checks share that call methods again and again: which methods, how long to wait, how to combine findings."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from protoserve.verify.checks import credentials
from protoserve.verify.grpc_client import USUAL_BYTES, Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Deferral, Finding, Verdict, combined, skipped, unjudged
from protoserve.verify.session import Session
from protoserve.verify.side_effects import NO_CALL

# A contract may have a hundred methods; this many are enough to judge the server.
MOST_METHODS = 8
# With these codes a server refuses a call that it has no room for. It may still be busy with earlier calls of this run
# that were given up: such a refusal counts once it has lasted for PATIENCE seconds.
OVERLOAD = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
PATIENCE = 5.0
_PAUSE = 0.2
_GIVE_CONTRACT = "Give it the contract with --proto FILE or --project FOLDER, or let the server offer reflection."


def for_each_method(session: Session, judge: Callable[[Session, Method], Finding]) -> Finding:
    """One finding for all methods that work, or a skip if none does."""
    methods = working_methods(session)
    return combined(judge(session, method) for method in methods) if methods else no_working_method(session)


def working_methods(session: Session) -> list[Method]:
    """The methods that have answered their valid request with OK and still do, at most MOST_METHODS."""
    working = [m for m in session.methods if (reply := session.replies.get(m.path)) is not None and reply.ok]
    return [method for method in working if method.path not in session.stopped][:MOST_METHODS]


def no_working_method(session: Session) -> Finding:
    """Why no method can be judged."""
    if session.left_alone and not session.methods:
        return all_left_alone(session)
    if not session.methods:
        return skipped("no contract, so no method to call")
    codes = ", ".join(
        f"{m.name}: {session.replies[m.path].code.name}" for m in session.methods if m.path in session.replies
    )
    finding = skipped(f"no method answers a valid request with OK ({codes or 'none was called'})")
    return _left_to(dict.fromkeys(session.stopped.values()), finding)


def give_contract(session: Session) -> str:
    """What a user can give a run that has no contract."""
    if session.reflection is None or session.reflection.refusal is None:
        return _GIVE_CONTRACT
    return f"{credentials.give(session)} Or give it the contract with --proto FILE or --project FOLDER."


def left_alone_note(session: Session) -> str:
    """Which methods are not called, and how to have them called; empty if all are."""
    methods = () if session.interface is None else session.interface.methods
    reasons = [(method, reason) for method in methods if (reason := session.left_alone.get(method.path))]
    by_name = [method.name for method, reason in reasons if reason != NO_CALL]
    by_option = [method.name for method, reason in reasons if reason == NO_CALL]
    notes = [f"not called, as --no-call says: {', '.join(by_option)}"] if by_option else []
    if by_name:
        notes.append(
            f"not called, because of what {'its name says' if len(by_name) == 1 else 'their names say'}: "
            f"{', '.join(by_name)} (--call {by_name[0]} calls it)"
        )
    return "; ".join(notes)


def all_left_alone(session: Session) -> Finding:
    """No method is called. That is a gap unless the user wanted it so."""
    note = left_alone_note(session)
    names = [path.lstrip("/") for path, reason in session.left_alone.items() if reason != NO_CALL]
    return unjudged(note, f"Name a method that may be called: --call {names[0]}.") if names else skipped(note)


def _left_to(checks: dict[str, None], finding: Finding) -> Finding:
    """The skip, which these checks have the reason for; a failure should none of them report it."""
    otherwise = Finding(
        Verdict.FAIL, finding.seen, "A method that has answered no longer does.", "Look at the server's log."
    )
    return Finding(Verdict.SKIP, finding.seen, deferrals=tuple(Deferral(check, otherwise) for check in checks))


def call_valid(session: Session, method: Method, timeout: float) -> Reply:
    """The answer to the method's valid request."""
    return session.ask(method, session.request(method).data, timeout)


def call_alone(session: Session, method: Method, timeout: float, patience: float = PATIENCE) -> Reply:
    """The same where no other call of this run is under way; a busy server gets `patience` seconds to answer it."""
    until = time.monotonic() + patience
    reply = call_valid(session, method, timeout)
    while is_busy(reply) and time.monotonic() < until and session.left():
        time.sleep(min(_PAUSE, session.left()))
        reply = call_valid(session, method, timeout)
    return reply


def too_large_together(session: Session, method: Method) -> Finding | None:
    """A skip for a method whose replies are so large that several at a time could fill the memory of this machine."""
    size = session.reply_bytes(method)
    if size <= USUAL_BYTES:
        return None
    return skipped(f"{method.name}: its replies of {size / 2**20:.0f} MiB are too large to have several in flight")


def is_busy(reply: Reply) -> bool:
    """Whether the server refuses the call for lack of room."""
    return reply.code in OVERLOAD and not reply.connection_lost


def usual_seconds(session: Session, method: Method) -> float:
    """How long the method took for its valid request; 0 if that is not known yet."""
    reply = session.replies.get(method.path)
    return 0.0 if reply is None else reply.seconds


def timeout_for(session: Session, usual: float) -> float:
    """The timeout, in seconds, of a call that usually takes `usual` seconds."""
    return min(session.timeout, 4 * usual + 4)


def timed_out(reply: Reply, timeout: float) -> bool:
    """Whether our own timeout ended the call; a DEADLINE_EXCEEDED from the server comes sooner."""
    return reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and reply.seconds >= 0.9 * timeout
