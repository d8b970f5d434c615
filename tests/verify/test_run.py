"""The order of the checks, and that a fault which one check leaves to another is reported by one of them."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from protoserve.verify.address import Address
from protoserve.verify.checks.check import Check
from protoserve.verify.protocol_detection import Answerer, detect, refuse_itself
from protoserve.verify.report import Deferral, Finding, Outcome, Verdict, deferred, failed, passed, skipped, warned
from protoserve.verify.run import Step, run
from zoo.process import free_port

FAULT = failed("Predict answers no more", "It broke.", "Repair it.")


def never() -> Finding:
    raise AssertionError


def findings(steps: dict[str, Finding], skip: tuple[str, ...] = ()) -> dict[str, Finding]:
    """What is passed on in the end, by check; each builds upon none."""
    outcomes: dict[str, Finding] = {}

    def progress(name: str, outcome: Outcome | None) -> None:
        if outcome is not None:
            outcomes[name] = outcome.finding

    made = [Step(Check(name, "", never), lambda finding=finding: finding) for name, finding in steps.items()]
    run(made, lambda: 1.0, progress, skip)
    return outcomes


@pytest.mark.parametrize("reporter", [FAULT, warned("a", "b", "c")])
def test_a_fault_that_another_check_reports_is_reported_once(reporter: Finding) -> None:
    for order in (("first", "second"), ("second", "first")):
        steps = {"first": reporter, "second": deferred("first", FAULT)}
        seen = findings({name: steps[name] for name in order})
        assert seen["second"].verdict is Verdict.SKIP
        assert seen["second"].seen == "Predict answers no more; see first"


@pytest.mark.parametrize("other", [passed("all is well"), skipped("nothing to judge")])
def test_a_fault_that_no_other_check_reports_is_a_failure(other: Finding) -> None:
    for order in (("first", "second"), ("second", "first")):
        steps = {"first": other, "second": deferred("first", FAULT)}
        assert findings({name: steps[name] for name in order})["second"] == FAULT


def test_a_check_that_is_left_out_or_missing_reports_nothing() -> None:
    assert findings({"second": deferred("first", FAULT)})["second"] == FAULT
    assert findings({"second": deferred("first", FAULT), "first": FAULT}, skip=("first",))["second"] == FAULT


def test_a_pass_with_a_fault_that_nobody_reports_fails() -> None:
    other = Finding(Verdict.PASS, "the rest is fine", deferrals=(Deferral("first", FAULT),))
    assert findings({"first": passed("a"), "second": other})["second"] == FAULT
    assert findings({"first": FAULT, "second": other})["second"] == other


def test_a_connection_with_itself_is_not_judged() -> None:
    """Polling a local port on which nothing listens ends in one now and then."""
    port = free_port()
    with closing(socket.socket()) as connection:
        connection.bind(("127.0.0.1", port))
        connection.connect(("127.0.0.1", port))
        assert refuse_itself(connection)
    with closing(socket.socket()) as listener:  # the port is free at once
        listener.bind(("127.0.0.1", port))
        listener.listen()
    assert detect(Address("127.0.0.1", port), 1.0).kind is Answerer.REFUSED
