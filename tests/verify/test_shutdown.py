"""Which calls the check of a shutdown counts as lost: a busy machine must not make a server look guilty."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from protoserve.verify.checks import shutdown
from protoserve.verify.grpc_client import Reply
from protoserve.verify.traffic import AcceptTimer, SentCall

SIGTERM_AT = 100.0
CANCELLED, UNAVAILABLE, UNKNOWN = grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN
BROKEN = "Stream removed (recvmsg:Connection reset by peer (104))"


def sent(at: float, seconds: float, code: grpc.StatusCode, details: str = "", caller: int = 0) -> SentCall:
    """A call that was sent `at` seconds after the signal."""
    return SentCall(SIGTERM_AT + at, Reply(code, details, (), seconds), caller)


# A call, the slowest acceptance of another call before the signal and overall, and what becomes of the call.
ENDS = [
    (sent(-0.01, 0.01, CANCELLED), 0.0, 0.0, "cancelled"),  # gRPC cancels what a sync server has not accepted
    (sent(-0.01, 0.01, UNAVAILABLE, "the server is stopping"), 0.0, 0.0, ""),
    (sent(-0.01, 0.02, UNAVAILABLE, BROKEN), 0.0, 0.0, "lost"),
    (sent(-0.01, 0.02, UNKNOWN), 0.0, 0.0, "lost"),
    (sent(-0.2, 0.25, CANCELLED), 0.0, 0.0, "lost"),
    (sent(-0.2, 0.25, CANCELLED), 0.15, 0.15, "cancelled"),
    (sent(-0.2, 0.25, UNAVAILABLE, BROKEN), 0.15, 0.15, "lost"),
    (sent(0.1, 0.3, CANCELLED), 0.0, 0.0, "lost"),
    (sent(0.1, 0.3, CANCELLED), 0.0, 0.2, "cancelled"),
    (sent(0.1, 0.01, UNAVAILABLE, "Connection refused"), 0.0, 0.0, ""),
    (sent(-1.0, 0.5, CANCELLED), 0.0, 0.0, ""),  # ended before the signal
]


@pytest.mark.parametrize(("call", "slowest_before", "slowest", "kind"), ENDS)
def test_which_calls_are_lost_and_which_were_not_accepted(
    call: SentCall, slowest_before: float, slowest: float, kind: str
) -> None:
    observed = shutdown.Shutdown(30.0)
    timer: Any = SimpleNamespace(slowest=lambda **before: slowest_before if before else slowest)
    shutdown.classify_calls(observed, SIGTERM_AT, [call], timer)
    assert (observed.lost, observed.cancelled) == ([call] * (kind == "lost"), [call] * (kind == "cancelled"))


@pytest.mark.parametrize(("callers", "verdict"), [([], "pass"), ([0, 1, 2], "pass"), ([0, 1, 0], "warn")])
def test_a_server_that_cancels_the_same_caller_twice_gets_a_warning(callers: list[int], verdict: str) -> None:
    """Once is the moment of the stop."""
    observed = shutdown.Shutdown(30.0, exit_code=0, health_method="Watch", not_serving_after=0.1)
    observed.cancelled = [sent(0.1 * number, 0.01, CANCELLED, caller=caller) for number, caller in enumerate(callers)]
    finding = shutdown.judge(observed, None)
    assert finding.verdict == verdict
    assert ("not accepted, ended with CANCELLED" in finding.seen) == bool(callers)


def test_the_timer_measures_how_long_calls_take_to_be_accepted() -> None:
    """It ends when they fail in another way, so that it does not keep the server from ending."""
    replies = iter([sent(0, 0.3, grpc.StatusCode.UNIMPLEMENTED), *[sent(0, 0.1, UNAVAILABLE)] * 3])
    client: Any = SimpleNamespace(call=lambda *_: next(replies).reply)
    traffic: Any = SimpleNamespace(running=lambda: True)
    timer = AcceptTimer(client, traffic)
    timer._thread.join(5)
    assert next(replies, None) is None
    assert timer.slowest() == 0.3
    assert timer.slowest(before=0.0) == 0.0
