"""A server that fails in the middle of a check, whichever it is and in whichever way, is reported as failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from protoserve.verify import checks, command
from protoserve.verify.checks.check import Check
from protoserve.verify.report import Finding
from protoserve.verify.session import Session
from zoo import tables
from zoo.http import BREAK
from zoo.process import checks_with, running, verify_here
from zoo.project import project
from zoo.proto import PROTO

__all__ = ["tables"]  # which brings in every server
ZOO = PROTO.parent
CONTRACT = ("--proto", str(PROTO))
BOUNDED = ("--project", str(ZOO / "bounded"), "--only", "message-size")
SPEC = """\
apiVersion: v1
kind: Pod
metadata: {name: zoo}
spec:
  containers:
    - name: zoo
      image: zoo
      ports: [{containerPort: 50051}]
      readinessProbe: {grpc: {port: 50051}}
"""
Judged = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """When the check begins, the server gets this script; `fails` is the check that must report it."""

    check: str
    how: str
    after: int = 1
    part: str = "model"
    takes: float = 0.0
    fails: str = ""
    options: tuple[str, ...] = CONTRACT
    everyday: bool = False

    @property
    def script(self) -> dict[str, Any]:
        return {"how": self.how, "after": self.after, "part": self.part, "takes": self.takes}

    def __str__(self) -> str:
        return f"{self.check}-{self.part}-{self.how}-{self.after}"


WAYS = ("raises", "UNAVAILABLE", "hangs", "dies")
# Checks that call methods, and in which of their calls it happens.
CALLING = {"implemented": 1, "bad-input": 1, "deadline": 1, "message-size": 1, "concurrency": 20, "health-honest": 100}
OTHER_MESSAGES = {"bad-input": 1, "deadline": 0, "concurrency": 20, "health-honest": 100}
CASES = (
    *(
        Case(check, how, after, options=BOUNDED if check == "message-size" else CONTRACT, everyday=how == "raises")
        for check, after in CALLING.items()
        for how in WAYS
    ),
    # It sends nothing: the next check is the first to call the method.
    *(Case("serialization", how, 0, fails="bad-input") for how in WAYS),
    # The first call, and calls to which a check does something else.
    *(Case("bad-input", how, 0) for how in WAYS),
    *(Case("concurrency", how, 0) for how in WAYS),
    *(Case("deadline", how, 12, takes=0.1) for how in WAYS),
    # OK, and not the declared message; or an honest server, whose health is not reported on top.
    *(Case(check, "another-message", after, everyday=check == "bad-input") for check, after in OTHER_MESSAGES.items()),
    Case("concurrency", "says-so", 20),
    # One single call, of a request that was answered before.
    Case("concurrency", "raises-once", 13),
    # Those that ask health alone.
    Case("reachable", "INTERNAL", 0, "health", fails="health-service"),
    Case("reachable", "hangs", 0, "health", fails="health-service"),
    Case("reachable", "dies", 0, "health"),
    Case("reachable", "stands-still", 0, "health"),
    *(Case("health-service", how, 0, "health") for how in ("INTERNAL", "hangs", "stands-still", "dies")),
    *(Case("health-honest", how, 8, "health") for how in ("INTERNAL", "hangs", "stands-still", "dies")),
    *(Case("health-honest", how, 1, "watch") for how in ("raises", "hangs", "stands-still", "dies")),
    *(Case("spec-routes", how, 0, "health") for how in ("stands-still", "dies")),
    *(Case("health-serving", how, 0, "health", fails=fails) for how, fails in {"dies": "health-honest"}.items()),
    # Those that the run starts itself.
    *(Case("shutdown", how, after) for how in WAYS for after in (0, 30)),
)
# Of the HTTP side, by the number of predictions that are answered.
HTTP_CASES = tuple(
    Case(check, how, after, fails="http-predict" if not after else "")
    for check, afters in {"http-health": (0, 40), "http-predict": (0, 3, 9)}.items()
    for after in afters
    for how in ("fails", "hangs", "drops", "dies")
)


@pytest.fixture(scope="module", autouse=True)
def scripts() -> Iterator[dict[int | Path, Case]]:
    """By port, or by folder: what happens to the server when the check of its case begins."""
    cases: dict[int | Path, Case] = {}

    def instrumented(check: Check) -> Check:
        def run(*arguments: Any) -> Finding:
            session = arguments[-1]
            case = case_of(session, cases) if isinstance(session, Session) else None
            if case is not None and case.check == check.id:
                rewrite(session, case)
            return check.run(*arguments)

        return dataclasses.replace(check, run=run)

    patch = pytest.MonkeyPatch()
    patch.setattr(command, "CHECKS", tuple(instrumented(check) for check in checks.CHECKS))
    yield cases
    patch.undo()


def case_of(session: Session, cases: dict[int | Path, Case]) -> Case | None:
    """By its port, or by the project's folder where the run starts the server."""
    return cases.get(session.project or 0) if session.process is not None else cases.get(session.address.port)


def rewrite(session: Session, case: Case) -> None:
    data = json.dumps(case.script).encode()
    if session.web is not None and session.web.alone:
        assert session.web.ask("POST", BREAK, 5, data).status == 200
        return
    with grpc.insecure_channel(str(session.address)) as channel:
        channel.unary_unary(tables.scripted.BREAK)(data, timeout=5)


@pytest.fixture(scope="module")
def judged(
    request: pytest.FixtureRequest, scripts: dict[int | Path, Case], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Judged]]]:
    """What verify says in each case that was chosen: several at a time, since they mostly wait."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    chosen = [item.callspec.params["case"] for item in items]
    with ThreadPoolExecutor(6) as pool:
        yield {str(case): pool.submit(judge, case, scripts, tmp_path_factory.mktemp("case")) for case in chosen}


def judge(case: Case, scripts: dict[int | Path, Case], folder: Path) -> Judged:
    quick = ("--timeout", "2")
    if case.check == "shutdown":
        return judge_started(case, scripts, folder)
    if case.check.startswith("http"):
        with running("http-scripted") as port:
            scripts[port] = case
            return verify_here("--http", f"127.0.0.1:{port}", "--platform", "vertex", *CONTRACT, *quick)
    options = [*case.options, *quick]
    if case.check == "spec-routes":
        (folder / "pod.yaml").write_text(SPEC, encoding="utf-8")
        options += ["--spec", str(folder / "pod.yaml"), "--platform", "kubernetes"]
    if case.takes:  # a model that is slow enough for this check
        options += ["--only", case.check]
    with running("scripted") as port:
        scripts[port] = case
        return verify_here(f"127.0.0.1:{port}", *options)


def judge_started(case: Case, scripts: dict[int | Path, Case], folder: Path) -> Judged:
    """The run starts the server itself."""
    made = project("scripted", folder / "project")
    scripts[made] = case
    return verify_here(str(made), *CONTRACT, "--timeout", "15", "--grace", "5", "--only", "shutdown")


def cases(rows: tuple[Case, ...]) -> list[Any]:
    return [pytest.param(case, id=str(case), marks=() if case.everyday else pytest.mark.slow) for case in rows]


@pytest.mark.parametrize("case", cases((*CASES, *HTTP_CASES)))
def test_it_is_reported_as_failed(case: Case, judged: dict[str, Future[Judged]]) -> None:
    code, report = judged[str(case)].result()
    fails = checks_with(report, "fail")
    assert code == 1, report["checks"]
    assert report["verdict"] == "fail"
    assert list(fails) == [case.fails or case.check], fails


@pytest.mark.slow
def test_answers_that_become_empty(scripts: dict[int | Path, Case]) -> None:
    """OK with no bytes for a request that got an answer: not wrong for certain, unless other answers show it."""
    with running("scripted") as port:
        scripts[port] = Case("health-honest", "nothing", 100)
        _, report = verify_here(f"127.0.0.1:{port}", *CONTRACT, "--timeout", "2")
    assert "0 bytes" in checks_with(report, "warn")["health-honest"]
    with running("scripted") as port:
        scripts[port] = Case("concurrency", "nothing", 20)
        _, report = verify_here(f"127.0.0.1:{port}", *CONTRACT, "--timeout", "2")
    assert "one alone gets another answer now" in checks_with(report, "fail")["concurrency"]
    assert not checks_with(report, "warn"), report["checks"]


def test_a_method_that_stops_before_the_check_of_methods() -> None:
    """Where only health is judged, its first method is called as well, to see whether SERVING is true."""
    with running("sync-raises-after-2-calls") as port:
        code, report = verify_here(f"127.0.0.1:{port}", *CONTRACT, "--only", "health-honest", "--timeout", "2")
    assert code == 1
    assert list(checks_with(report, "fail")) == ["health-honest"]
    assert not checks_with(report, "warn"), report["checks"]
