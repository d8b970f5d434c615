"""What the check of a stop takes for lost: a busy machine must not make a server guilty."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from protoserve.verify.checks import shutdown
from protoserve.verify.client import Reply
from protoserve.verify.traffic import Sent, Taking

AT = 100.0  # when SIGTERM was sent
CANCELLED, UNAVAILABLE, UNKNOWN = grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN
BROKEN = "Stream removed (recvmsg:Connection reset by peer (104))"


def sent(at: float, seconds: float, code: grpc.StatusCode, details: str = "", caller: int = 0) -> Sent:
    """A call that was sent so many seconds after the signal."""
    return Sent(AT + at, Reply(code, details, (), seconds), caller)


# Calls, how long it took to take others before the signal and ever, and what each is: lost, odd, or neither.
ENDS = [
    (sent(-0.01, 0.01, CANCELLED), 0.0, 0.0, "odd"),  # gRPC cancels what a sync server has not taken when it stops
    (sent(-0.01, 0.01, UNAVAILABLE, "the server is stopping"), 0.0, 0.0, ""),
    (sent(-0.01, 0.02, UNAVAILABLE, BROKEN), 0.0, 0.0, "lost"),
    (sent(-0.01, 0.02, UNKNOWN), 0.0, 0.0, "lost"),
    (sent(-0.2, 0.25, CANCELLED), 0.0, 0.0, "lost"),
    (sent(-0.2, 0.25, CANCELLED), 0.15, 0.15, "odd"),
    (sent(-0.2, 0.25, UNAVAILABLE, BROKEN), 0.15, 0.15, "lost"),
    (sent(0.1, 0.3, CANCELLED), 0.0, 0.0, "lost"),
    (sent(0.1, 0.3, CANCELLED), 0.0, 0.2, "odd"),
    (sent(0.1, 0.01, UNAVAILABLE, "Connection refused"), 0.0, 0.0, ""),
    (sent(-1.0, 0.5, CANCELLED), 0.0, 0.0, ""),  # before all this
]


@pytest.mark.parametrize(("call", "before", "ever", "kind"), ENDS)
def test_what_was_lost_and_what_was_not_taken_yet(call: Sent, before: float, ever: float, kind: str) -> None:
    stop = shutdown._Stop(30.0)
    taking: Any = SimpleNamespace(slowest=lambda **only: before if only else ever)
    shutdown._sort(stop, AT, [call], taking)
    assert (stop.lost, stop.odd) == ([call] * (kind == "lost"), [call] * (kind == "odd"))


@pytest.mark.parametrize(("callers", "verdict"), [([], "pass"), ([0, 1, 2], "pass"), ([0, 1, 0], "warn")])
def test_only_a_server_that_cancels_again_is_warned_of(callers: list[int], verdict: str) -> None:
    """Once is the moment of the stop."""
    stop = shutdown._Stop(30.0, code=0, watched="Watch", said=0.1)
    stop.odd = [sent(0.1 * number, 0.01, CANCELLED, caller=caller) for number, caller in enumerate(callers)]
    finding = shutdown._judged(stop, None)
    assert finding.verdict == verdict
    assert ("that it had not taken ended like CANCELLED" in finding.seen) == bool(callers)


def test_calls_of_nothing_tell_how_long_it_takes_to_take_one() -> None:
    """It ends when it is refused otherwise, so that it keeps no server from its end."""
    replies = iter([sent(0, 0.3, grpc.StatusCode.UNIMPLEMENTED), *[sent(0, 0.1, UNAVAILABLE)] * 3])
    client: Any = SimpleNamespace(call=lambda *_: next(replies).reply)
    traffic: Any = SimpleNamespace(going=lambda: True)
    taking = Taking(client, traffic)
    taking._thread.join(5)
    assert next(replies, None) is None
    assert taking.slowest() == 0.3
    assert taking.slowest(before=0.0) == 0.0
