"""Health follows the evidence that the model answers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripted import CANNOT, MODEL, NO, OK, REFUSED, RESTART, SCRIPTS, YES, Client, Script, Seen, follow, scripted
from serving import NOT_SERVING, SERVING, Lines, Probe, Server, serving, starting
from zoo.process import verify_here


@pytest.fixture(scope="module")
def life(
    request: pytest.FixtureRequest, probe: Probe, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Future[Seen]], Lines]]:
    """What is seen of the server of each chosen script, and the log of all.

    All run at the same time: they wait more than they compute.
    """
    names = {item.name for item in request.session.items}
    chosen = [each for each in SCRIPTS if f"{test_health_over_time.__name__}[{each.title}]" in names]
    folder = tmp_path_factory.mktemp("scripts")
    with scripted(probe, chosen, folder) as (clients, log), ThreadPoolExecutor(len(chosen)) as pool:
        pairs = zip(clients, chosen, strict=True)
        yield {script.title: pool.submit(follow, client, script) for client, script in pairs}, log


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.title)
def test_health_over_time(script: Script, life: tuple[dict[str, Future[Seen]], Lines]) -> None:
    seen, log = life
    result = seen[script.title].result()
    assert result.health == list(script.health)
    assert result.ends == list(script.ends)
    assert result.later == script.later
    if NO in script.health[1:] or RESTART in script.health:
        reasons = [line["message"] for line in log.json() if line["message"].startswith("NOT_SERVING: ")]
        assert any(script.log in reason for reason in reasons), reasons


# What verify says of these depends on how many calls it makes at a time.
DEPENDS = ("raises twice", "is slow")


def verdict(script: Script) -> int | None:
    """The exit code of `verify` for a script's server: None where it depends on the moment at which that looks."""
    if "poison" not in script.asks and script.health[-1] == RESTART:
        return 1  # it fails whatever is asked
    if {*script.health[1:], script.health[-1]} == {YES} and script.later != REFUSED and script.title not in DEPENDS:
        return 0  # nobody sees a failure, unless by an input that only a script knows
    return None


@pytest.mark.slow
def test_verify_says_the_same(probe: Probe, tmp_path: Path) -> None:
    scripts = [each for each in SCRIPTS if verdict(each) is not None]
    options = ("--proto", str(probe.path / "proto" / "probe" / "v1" / "prediction.proto"), "--timeout", "5")
    with scripted(probe, scripts, tmp_path) as (clients, _), ThreadPoolExecutor(6) as pool:
        for script, client in zip(scripts, clients, strict=True):
            while verdict(script) == 1 and not script.ready and client.health() != YES:
                time.sleep(0.1)  # it breaks by what verify asks
        reports = pool.map(lambda client: verify_here(client.target, *options), clients)
        for script, (code, report) in zip(scripts, reports, strict=True):
            assert code == verdict(script), (script.title, report["checks"])


@dataclass(frozen=True)
class Ending:
    """A model that ends its process, or tries to keep it; what its log says, and the exit code.

    `ask` is how a call ends, if one is made, and `stop` whether SIGTERM follows.
    """

    title: str
    script: str
    code: int
    words: str
    ask: str = ""
    stop: bool = False


LOST = "UNAVAILABLE: "
LEFT = "threads of the model still run; the process ends without them"
THREAD = "from concurrent.futures import ThreadPoolExecutor as Pool; Pool().submit(time.sleep, 999)"
ENDINGS = [
    Ending(
        "hangs in its warm-up",
        "def predict(call, mode): time.sleep(999)",
        1,
        "the warm-up request of v1.Predict failed: the model cannot answer at the moment",
    ),
    Ending(
        "says in its warm-up that it is broken",
        "def predict(call, mode): raise ModelBroken('no GPU')",
        1,
        "the warm-up request of v1.Predict failed: the model is broken: no GPU",
    ),
    Ending(
        "hangs at the start when asked whether it is ready",
        "def ready(call): time.sleep(999)",
        1,
        "the model's ready() failed: it has not returned within 2 s (MODEL_TIMEOUT_SECONDS)",
    ),
    Ending(
        "leaves a thread and does not load", f"def load(call): {THREAD}; 1 / 0", 1, "threads of the model still run"
    ),
    Ending("leaves a thread", f"def load(call): {THREAD}", 0, "threads of the model still run", OK, stop=True),
    Ending(
        "turns loggers off, as logging.config does, and hangs",
        "def load(call): import logging.config; logging.config.dictConfig({'version': 1})\n"
        "def predict(call, mode): time.sleep(999 * (call > 1))",
        0,
        "the model is still computing; the process ends without it",
        CANNOT,
        stop=True,
    ),
    Ending(
        "raises SIGINT in its own thread, as OpenBLAS does",
        "import signal\ndef predict(call, mode): call == 1 or signal.raise_signal(signal.SIGINT)",
        1,
        'code in this process raised SIGINT: File \\"<string>\\", line 2 in predict',
        OK,
    ),
    Ending(
        "sends SIGINT to its own process",
        "import os, signal\ndef predict(call, mode): call == 1 or os.kill(os.getpid(), signal.SIGINT)",
        1,
        'code in this process raised SIGINT: File \\"<string>\\", line 2 in predict',
        OK,
    ),
    Ending(
        "aborts",
        "import os\ndef predict(call, mode): call == 1 or os.abort()",
        -signal.SIGABRT,
        "Fatal Python error: Aborted",
        LOST,
    ),
    Ending(
        "crashes",
        "import ctypes\ndef predict(call, mode): call == 1 or ctypes.string_at(0)",
        -signal.SIGSEGV,
        "Fatal Python error: Segmentation fault",
        LOST,
    ),
]


@pytest.fixture(scope="module")
def project(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """A project whose model does what the artifact says."""
    return probe.with_model(MODEL, tmp_path_factory.mktemp("ending") / "project")


def test_no_model_keeps_or_ends_its_process_without_a_word(project: Probe, tmp_path: Path) -> None:
    with ExitStack() as running:
        servers = []
        for number, each in enumerate(ENDINGS):
            path = tmp_path / f"{number}.txt"
            path.write_text(each.script, encoding="utf-8")
            settings = {"MODEL_TIMEOUT_SECONDS": "2", "DRAIN_SECONDS": "2", "MODEL_PATH": str(path)}
            servers.append(running.enter_context(starting(project, **settings)))
        for each, server in zip(ENDINGS, servers, strict=True):
            if each.ask:
                server.until_serving()
                assert ask(server).startswith(each.ask), each.title
            if each.stop:
                server.terminate()
        for each, server in zip(ENDINGS, servers, strict=True):
            assert server.ended() == each.code, each.title
            server.log.ended()
            assert any(each.words in line for line in server.log.all), (each.title, server.log.all)


def ask(server: Server) -> str:
    return Client(server.probe, f"127.0.0.1:{server.port}").ask("plain")


@pytest.mark.each_transport
def test_a_stop_comes_before_what_the_model_says(project: Probe, tmp_path: Path) -> None:
    """A model that is ready again while the server drains changes nothing."""
    script = tmp_path / "script.txt"
    script.write_text(
        "asked = []\n"
        "def ready(call): return not asked or not lasts(1)\n"
        "def count(call, mode):\n"
        "    asked.extend([call] if call > 1 else [])\n"
        "    for index in range(30 if call > 1 else 3):\n"
        "        yield index\n"
        "        time.sleep(0.1)\n",
        encoding="utf-8",
    )
    with serving(project, MODEL_PATH=str(script), READY_SECONDS="0.3") as server:
        states = server.watch()
        assert next(states) == SERVING
        stream = server.count(1)
        assert next(stream).index == 0
        assert next(states) == NOT_SERVING
        server.terminate()
        assert len(list(stream)) == 29
        assert list(states) == []
        assert server.ended() == 0


QUEUE = """\
import dataclasses, math, threading
from probe import contract
from probe.server.core.jobs import UnaryJob
from probe.server.core.model_thread import ModelThread
from probe.server.core.runners import LoadedModel, ReadyCheck

method = dataclasses.replace(contract.METHODS[0], encode=str.encode)
held, full, done = threading.Event(), threading.Event(), threading.Event()

def handler(batch):
    print(*batch)
    held.set()
    full.wait()
    if batch == ["a"]:
        thread.submit([job("late probe", is_probe=True)])
    if batch == ["stop"]:
        thread.stop()
    if "poison" in batch:
        raise ValueError
    return batch

def job(request, **kind):
    on_result = lambda result: done.set() if request == "last" else None
    return UnaryJob(method=method, request=request, request_id="", deadline=math.inf, on_result=on_result, **kind)

def observe(method, failure):
    print("failed" if failure else "answered")

def ready():
    print("ready")
    return True

model = LoadedModel({method.path: handler}, ready)
thread = ModelThread(lambda: model, lambda event: None, observe, lambda: None, {method.path: 4})
thread.start()
thread.submit([job("first")])
held.wait()
thread.submit([job("a"), job("poison"), job("b")])
thread.submit([job("probe", is_probe=True)])
thread.check_ready(ReadyCheck(lambda failure: None))
thread.submit([job("last")])
full.set()
done.wait()
thread.submit([job("stop")])
thread.join(10)
print("runs" if thread.is_alive() else "ended")
"""


def test_a_probe_is_computed_alone_and_first_and_a_bad_request_costs_the_others_nothing(probe: Probe) -> None:
    lines = probe.python("-c", QUEUE).stdout.splitlines()
    assert lines[:5] == ["first", "answered", "probe", "answered", "ready"]
    assert lines[5:] == [
        *("a poison b last", "a poison", "a", "answered", "late probe", "answered", "poison", "failed"),
        *("b last", "answered"),
        *("stop", "answered", "ended"),  # by a stop that came while it computed
    ]


OTHER_READY = """\
import dataclasses
from probe.server import loading
from probe.server.logs import configure

class Says:
    def ready(self): return False

class HasFlag:
    ready = True

class IsReady:
    @property
    def ready(self): return True

class AsksBack:
    def ready(self, request): return True

class Waits:
    async def ready(self): return True

configure("INFO", "text")
print([loading._ready(model()) is not None for model in (Says, Waits, HasFlag, IsReady, AsksBack, object)])
method, *_ = loading.served.METHODS
loading.served.METHODS = (dataclasses.replace(method, attribute="ready"),)
print(loading._ready(Says()))  # it is the contract's method
"""


def test_what_is_called_ready_but_is_something_else_is_not_asked(probe: Probe) -> None:
    done = probe.python("-c", OTHER_READY)
    assert done.stdout.splitlines() == [
        "[True, True, False, False, False, False]",
        "None",
    ]
    reasons = [line.partition("can answer: ")[2] for line in done.stderr.splitlines()]
    assert reasons == ["it is not a method of the class"] * 2 + ["it requires arguments"]
