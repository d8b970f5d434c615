"""`concurrency`: parallel requests get the answers that they get alone, and excess requests are refused clearly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message

from protoserve.verify.checks import method_calls, silence, stopping
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.code_names import first_field
from protoserve.verify.grpc_client import Call, Reply
from protoserve.verify.interface import Method
from protoserve.verify.reply_diff import difference, parsed
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.request_variants import variants
from protoserve.verify.session import Session


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many distinct requests to send together, and how often, if a call takes at most `seconds`."""

    seconds: float
    requests: int
    rounds: int


_PLANS = (_Plan(0.03, 8, 3), _Plan(0.12, 6, 2), _Plan(0.5, 4, 1), _Plan(2.0, 2, 1))
SECONDS = 10.0
BURST = 64
# Codes that are about the server. The others may be about the request: one that an honest server takes only once.
_FAULTS = (
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_BURST_SECONDS = 0.02  # only a method that answers within this time is sent a burst


@dataclass(frozen=True, slots=True)
class _KnownAnswer:
    """A request, and the answer that it gets when it is sent alone."""

    request: bytes
    answer: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class _Baseline:
    """The answers to requests sent alone: whether they are the same twice, and the seconds of the slowest call.

    `lost` is the reply to a request that was answered once, and then failed by a fault of the server.
    """

    known: list[_KnownAnswer]
    deterministic: bool
    seconds: float
    lost: Reply | None = None


def run(session: Session) -> Finding:
    ends = time.monotonic() + SECONDS
    return method_calls.for_each_method(session, lambda session, method: _judge(session, method, ends))


def _judge(session: Session, method: Method, ends: float) -> Finding:
    if (finding := method_calls.too_large_together(session, method)) is not None:
        return finding
    timeout = method_calls.timeout_for(session, session.replies[method.path].seconds)
    first = method_calls.call_alone(session, method, timeout)
    if finding := stopping.error_of_valid_request(session, method, first):
        return finding
    plan = next((plan for plan in _PLANS if first.seconds <= plan.seconds), None)
    if plan is None or first.seconds * (4 * plan.requests + plan.rounds) > ends - time.monotonic():
        return skipped(f"{method.name} takes {first.seconds:.1f} s a call, too long to call it often in one run")
    baseline = _measure_baseline(session, method, plan.requests, timeout)
    if baseline.lost is not None:
        return stopping.stopped_answering(session, method, baseline.lost, " for a request that was answered before")
    known = baseline.known
    if not known:
        again = method_calls.call_alone(session, method, timeout)
        lost = stopping.error_of_valid_request(session, method, again)
        return lost or skipped(f"{method.name}: of the requests that were sent alone, none was answered twice")
    for _ in range(plan.rounds):
        wait = min(session.timeout, 3 * len(known) * baseline.seconds + 2)
        replies = send_together(session, method, [each.request for each in known], wait)
        if finding := _wrong_replies(session, method, known, replies, baseline.deterministic, wait):
            return finding
    distinct = len({each.request for each in known})
    done = f"{method.name}: {len(known)} requests ({distinct} distinct) in flight together, {plan.rounds} times"
    if baseline.seconds <= _BURST_SECONDS and not method.gives_stream and time.monotonic() < ends:
        wait = min(session.timeout, 3 * BURST * baseline.seconds + 5)
        burst = [known[index % len(known)] for index in range(BURST)]
        replies = send_together(session, method, [each.request for each in burst], wait)
        if finding := _wrong_replies(session, method, burst, replies, baseline.deterministic, wait):
            return finding
        refused = sum(not reply.ok for reply in replies)
        done += f"; of {BURST} at once {BURST - refused} answered, {refused} refused"
    last = method_calls.call_alone(session, method, timeout)
    if not last.ok:
        return stopping.stopped_answering(session, method, last, ", alone after many at a time")
    if not baseline.deterministic:
        return skipped(f"{method.name}: answers are not deterministic, so they cannot be compared ({done}: no error)")
    return passed(f"{done}: each answer is the one that the request gets alone")


def _measure_baseline(session: Session, method: Method, count: int, timeout: float) -> _Baseline:
    """Sends up to `count` distinct requests alone, twice; keeps those that are answered both times."""
    first_answers: list[_KnownAnswer] = []
    slowest = 0.0
    for request in variants(session, method, count, timeout):
        reply = session.ask(method, request, timeout)
        if reply.ok and (answer := parsed(method, reply)) is not None:
            first_answers.append(_KnownAnswer(request, answer))
            slowest = max(slowest, reply.seconds)
    known, deterministic = [], True
    for each in first_answers:
        reply = session.ask(method, each.request, timeout)
        if reply.ok and (answer := parsed(method, reply)) is not None:
            deterministic = deterministic and difference(each.answer, answer) is None
            known.append(each)
            slowest = max(slowest, reply.seconds)
        elif reply.code in _FAULTS and not method_calls.is_busy(reply):
            return _Baseline(known, deterministic, slowest, lost=reply)
    return _Baseline(known, deterministic, slowest)


def send_together(session: Session, method: Method, requests: Sequence[bytes], timeout: float) -> list[Reply]:
    """The answers to requests that are all sent before the first answer is read."""
    started = [session.start(method, request, timeout) for request in requests]
    if not method.gives_stream:
        return [call.reply() for call in started]
    with ThreadPoolExecutor(len(started)) as readers:
        return list(readers.map(Call.reply, started))


def _wrong_replies(
    session: Session,
    method: Method,
    known: Sequence[_KnownAnswer],
    replies: Sequence[Reply],
    deterministic: bool,
    wait: float,
) -> Finding | None:
    """What is wrong with the replies to these requests; None if nothing is."""
    together = f"of {len(replies)} requests in flight together"
    broken = [reply for reply in replies if reply.connection_lost]
    unanswered = [reply for reply in replies if method_calls.timed_out(reply, wait)]
    errors = [reply for reply in replies if not reply.ok and not method_calls.is_busy(reply)]
    if not (broken or unanswered or errors):
        mixed_up = _mixed_up_reply(method, known, replies, together) if deterministic else None
        return None if mixed_up is None else _other_answer_alone(session, method, together) or mixed_up
    usual = method_calls.timeout_for(session, session.replies[method.path].seconds)
    alone = method_calls.call_alone(session, method, usual)
    if broken:
        seen = f"{len(broken)} {together}: {broken[0]}; then one alone: {alone}; {silence.health_word(session)}"
        return _breaks_connection(session, method, seen, alone)
    first = next(iter(errors))
    if not alone.ok:  # whether that has to do with parallel calls is not known
        return stopping.stopped_answering(session, method, alone, f", alone after {len(errors)} {together}: {first}")
    if unanswered:
        seen = f"{len(unanswered)} {together} got no answer in {wait:.1f} s; then one alone: {alone}"
        return _loses_replies(method, seen, is_burst=len(replies) >= BURST)
    return _fails_in_parallel(method, f"{len(errors)} {together}: {first}; alone each is OK, before and after")


def _mixed_up_reply(
    method: Method, known: Sequence[_KnownAnswer], replies: Sequence[Reply], together: str
) -> Finding | None:
    for index, reply in enumerate(replies):
        answer = parsed(method, reply) if reply.ok else None
        if answer is None or (text := difference(known[index].answer, answer)) is None:
            continue
        owner = next((i for i, other in enumerate(known) if difference(other.answer, answer) is None), None)
        whose = "an answer that none of them gets alone" if owner is None else f"the answer of request {owner + 1}"
        return _mixes_up(method, f"{together}, request {index + 1} got {whose}: {text}", swapped=owner is not None)
    return None


def _other_answer_alone(session: Session, method: Method, together: str) -> Finding | None:
    """A failure if the valid request now gets another answer when it is sent alone, too: then nothing is mixed up."""
    usual = method_calls.timeout_for(session, session.replies[method.path].seconds)
    alone = method_calls.call_alone(session, method, usual)
    before, now = parsed(method, session.replies[method.path]), parsed(method, alone) if alone.ok else None
    if before is None or now is None or (text := difference(before, now)) is None:
        return None
    return failed(
        f"{method.path}: {together}, some got other answers than alone before; and one alone gets another answer now: "
        f"{text}; {silence.health_word(session)}",
        f"{method.name} answers the same request otherwise than before, also alone: it keeps something from one call "
        "to the next, or what it answers from has changed, is used up or broken.",
        f"""
        Let the answer of {method.name} depend on its request alone. If what it answers from is gone, fail with a
        status, so that callers and health can see it.
        """,
    )


def _mixes_up(method: Method, seen: str, *, swapped: bool) -> Finding:
    effect = "Callers get the answers of other callers" if swapped else "Callers get wrong answers"
    return failed(
        f"{method.path}: {seen}",
        f"{effect}: {method.name} keeps data of one request where the next one overwrites it (an attribute of self, a "
        "global, a reused buffer), returns the answers of a batch in another order, or calls a model that is not "
        "thread-safe from several threads.",
        f"""
        Keep the data of one request in local variables:
            def {method.name}(self, request, context):
                {first_field(method)} = request.{first_field(method)}          # not self.{first_field(method)} = ...
                return self.answer({first_field(method)})
        If the model or a buffer is shared, let one request at a time use it: `with self.lock:`, or a single thread.
        A batcher must pair each answer with its request: zip(batch, answers, strict=True).
        """,
    )


def _fails_in_parallel(method: Method, seen: str) -> Finding:
    return failed(
        f"{method.path}: {seen}",
        f"{method.name} fails when it is called in parallel: the model or a connection that it uses does not support "
        "that, or one request changes an attribute that another one reads.",
        """
        Let one request at a time use what is shared: a lock (`with self.lock:`), one thread that owns the model, or
        one object for each thread. If too many are in flight, answer RESOURCE_EXHAUSTED, and callers will retry.
        """,
    )


def _loses_replies(method: Method, seen: str, *, is_burst: bool) -> Finding:
    queue = " Requests beyond a limit must be refused, not kept waiting." if is_burst else ""
    return failed(
        f"{method.path}: {seen}",
        f"Answers get lost when several requests are in flight: {method.name} waits for an answer that went to another "
        "request or to nobody (one slot or one event for all), or two requests wait for each other's lock." + queue,
        """
        Give each request a future of its own, and set every future of a batch, also if the model raises:
            for job, answer in zip(batch, answers, strict=True):
                job.future.set_result(answer)
        Limit how many may wait, and refuse the rest at once:
            if self.in_flight >= 64:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "64 requests are in flight already")
        """,
    )


def _breaks_connection(session: Session, method: Method, seen: str, alone: Reply) -> Finding:
    if session.server_ended():
        what = "The server's process has ended."
    elif alone.connection_lost:
        what = "Afterwards no connection works: the server's process ended, or something closes its connections."
    else:
        what = "Afterwards a new one is accepted: the server was restarted, or something closes connections."
    return failed(
        f"{method.path}: {seen}{session.exit_note()}",
        f"The connection breaks while {method.name} is called in parallel. {what} Native code that is not thread-safe "
        "and too little memory end a process.",
        """
        Look at the server's log and exit code. Let one request at a time use the model (`with self.lock:`), and limit
        how many requests are in progress.
        """,
    )


CHECK = Check("concurrency", "requests in flight together do not disturb each other", run, after="serialization")
