"""Models that break in every way, each a few lines of script, and the health that is to be seen over time.

A script is the artifact of a server; the servers of all scripts run in one process, each at an address of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from serving import PATIENCE, SERVICE, SERVING, Lines, Probe

# Every time in a script is far from each of these.
SETTINGS = {"model_timeout_seconds": 2.5, "broken_seconds": 2.0, "ready_seconds": 0.5}

MODEL = '''\
"""A model that does what its artifact says, which is a script."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np

from .contract import (
    CountRequest, CountResponse, EchoRequest, EchoResponse, InvalidRequest, ModelBroken, PredictRequest, PredictResponse
)

ARTIFACT = Path("artifacts/model.txt")


class Rude(BaseException):
    """An error that cannot be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class Model:
    def __new__(cls, artifact: Path) -> "Model":
        script = artifact.read_text()
        kinds = {"async def ": WithAsync, "def ready(": WithReady}
        return object.__new__(next((kinds[words] for words in kinds if words in script), cls))

    def __init__(self, artifact: Path) -> None:
        self.began: dict[str, float] = {}
        self.calls = dict.fromkeys(("load", "predict", "count", "ready"), 0)
        self.script = {**globals(), "lasts": self.lasts}
        exec(artifact.read_text(), self.script)
        self.run("load")

    def lasts(self, seconds: float) -> bool:
        """Whether fewer seconds have passed since this was first asked for as many seconds."""
        return time.monotonic() < self.began.setdefault(str(seconds), time.monotonic()) + seconds

    def run(self, name: str, *arguments: object) -> object:
        self.calls[name] += 1
        return self.script.get(name, lambda *_: None)(self.calls[name], *arguments)

    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        scripted = [self.run("predict", request.mode) for request in batch]
        replies = [PredictResponse(result=1.0, vector=np.zeros(3, np.float32)) for _ in batch]
        return next((each for each in scripted if each is not None), replies)

    def count(self, request: CountRequest) -> Iterator[CountResponse]:
        for index in self.run("count", request.mode) or range(min(request.until, 5)):
            yield CountResponse(index=index)

    def echo(self, batch: Sequence[EchoRequest]) -> Sequence[EchoResponse]:
        return [EchoResponse(text=request.text) for request in batch]


class WithReady(Model):
    def ready(self) -> bool:
        answer = self.run("ready")
        return True if answer is None else answer


class WithAsync(Model):
    async def predict(self, request: PredictRequest) -> PredictResponse:
        reply = self.run("predict", request.mode)
        if inspect.isawaitable(reply):
            reply = await reply
        return PredictResponse(result=1.0, vector=np.zeros(3, np.float32)) if reply is None else reply

    async def count(self, request: CountRequest) -> AsyncIterator[CountResponse]:
        scripted = self.run("count", request.mode)
        if scripted is None:
            for index in range(min(request.until, 5)):
                yield CountResponse(index=index)
        else:
            async for index in scripted:
                yield CountResponse(index=index)

    async def ready(self) -> bool:
        answer = self.run("ready")
        if inspect.isawaitable(answer):
            answer = await answer
        return True if answer is None else answer
'''

RUNNER = """\
import asyncio, json, sys
from probe.server.lifecycle import Server
from probe.server.logs import configure
from probe.server.settings import Settings
from probe.server.transports import transport_class

async def main(settings, *scripts):
    def server(number, path):
        these = Settings(host=f"127.0.1.{number}", port=0, model_path=path, **json.loads(settings))
        return Server(these, transport_class(these, {}), [])
    await asyncio.gather(*(server(*each).run() for each in enumerate(scripts, 1)))

configure("INFO", "json")
asyncio.run(main(*sys.argv[1:]))
"""

YES, NO, RESTART = "SERVING", "NOT_SERVING", "NOT_SERVING, liveness too"
OK, INTERNAL = "OK", "INTERNAL: the server failed to answer this request"
CANNOT = "UNAVAILABLE: the model cannot answer at the moment"
REFUSED = "INVALID_ARGUMENT: mode: no"
BROKEN = "the model is broken: "


@dataclass(frozen=True)
class Script:
    """A model, what is asked of it, and what is to be seen.

    `asks` are modes of Predict, or of Count after `count:`, one call after the other, and `ends` how they end. `health`
    is all that health then says over time, and `log` a part of the reason. `later` is how the first of `asks` ends
    after all of that.

    The scripts get the number of the call, the warm-up's and the server's own included.
    """

    title: str
    asks: Sequence[str]
    ends: Sequence[str]
    health: Sequence[str]
    log: str = ""
    later: str = OK
    predict: str = ""
    count: str = ""
    ready: str = ""
    load: str = ""
    is_async: bool = False

    @property
    def source(self) -> str:
        form = "async def" if self.is_async else "def"
        heads = {
            "load": "def load(call):",
            "predict": f"{form} predict(call, mode):",
            "count": f"{form} count(call, mode):",
            "ready": f"{form} ready(call):",
        }
        bodies = {name: textwrap.dedent(getattr(self, name)).strip() for name in heads}
        return "\n".join(f"{heads[name]}\n{textwrap.indent(body, '    ')}\n" for name, body in bodies.items() if body)


PLAIN, COUNT = ["plain"] * 3, ["count:plain"] * 3
THREE = [INTERNAL] * 3

SCRIPTS = [
    Script("healthy", [*PLAIN, *COUNT], [OK] * 6, [YES]),
    Script(
        "raises for good", PLAIN, THREE, [YES, NO, RESTART], "CUDA", CANNOT, "if call > 1: raise RuntimeError('CUDA')"
    ),
    Script("raises for a while", PLAIN, THREE, [YES, NO, YES], "'x'", OK, "if 1 < call < 6: raise KeyError('x')"),
    Script(
        "raises until liveness asks for a restart",
        PLAIN,
        THREE,
        [YES, NO, RESTART, YES],
        "lost",
        OK,
        "if call > 1 and lasts(4): raise OSError('lost')",
    ),
    Script(
        "raises for one input",
        ["poison"] * 9,
        [INTERNAL] * 9,
        [YES],
        predict="if mode == 'poison': raise ValueError",
        later=INTERNAL,
    ),
    Script(
        "raises for one input among others",
        ["poison", "poison", "plain"] * 3,
        [INTERNAL, INTERNAL, OK] * 3,
        [YES],
        later=INTERNAL,
        predict="if mode == 'poison': raise ValueError",
    ),
    Script("raises twice", PLAIN, [INTERNAL, INTERNAL, OK], [YES], predict="if call in (2, 3): raise ValueError"),
    Script(
        "refuses between failures",
        ["plain", "refused", "plain", "refused", "plain"],
        [INTERNAL, REFUSED, INTERNAL, REFUSED, INTERNAL],
        [YES, NO, RESTART],
        "CUDA",
        CANNOT,
        """
        if mode == 'refused': raise InvalidRequest("no", field="mode")
        if call > 1: raise RuntimeError('CUDA')
        """,
    ),
    Script(
        "refuses whatever is asked",
        ["plain"] * 9,
        [REFUSED] * 9,
        [YES],
        later=REFUSED,
        predict="if call > 1: raise InvalidRequest('no', field='mode')",
    ),
    Script(
        "refuses the sample only",
        ["poison"] * 4,
        [INTERNAL] * 4,
        [YES],
        later=INTERNAL,
        predict="""
        if mode == "poison": raise RuntimeError
        if call > 1: raise InvalidRequest("no", field="mode")
        """,
    ),
    Script(
        "fails the sample only",
        ["other"] * 9,
        [OK] * 9,
        [YES],
        predict="if call > 1 and mode == 'plain': raise OSError",
    ),
    Script(
        "fails the sample and three calls",
        ["poison"] * 3,
        THREE,
        [YES, NO, RESTART],
        "ZeroDivisionError",
        CANNOT,
        "if call > 1 and mode in ('plain', 'poison'): 1 / 0",
    ),
    Script("exits", PLAIN, THREE, [YES, NO, RESTART], "SystemExit(3)", CANNOT, "if call > 1: raise SystemExit(3)"),
    Script(
        "is interrupted",
        PLAIN,
        THREE,
        [YES, NO, YES],
        "Keyboard",
        OK,
        "if 1 < call < 6: raise KeyboardInterrupt",
    ),
    Script(
        "closes its generator",
        PLAIN,
        THREE,
        [YES, NO, RESTART],
        "GeneratorExit",
        CANNOT,
        "if call > 1: raise GeneratorExit",
    ),
    Script(
        "raises what cannot be printed", PLAIN, THREE, [YES, NO, RESTART], "Rude", CANNOT, "if call > 1: raise Rude"
    ),
    Script("answers with nothing", PLAIN, THREE, [YES, NO, RESTART], "got 5 (int)", CANNOT, "if call > 1: return 5"),
    Script("answers too little", PLAIN, THREE, [YES, NO, RESTART], "list of 0", CANNOT, "if call > 1: return []"),
    Script(
        "breaks the contract",
        PLAIN,
        THREE,
        [YES, NO, YES],
        "result: wanted float64",
        OK,
        "if 1 < call < 6: return [PredictResponse(result=None, vector=None)]",
    ),
    Script(
        "hangs for good",
        ["plain"],
        [CANNOT],
        [YES, RESTART],
        "v1.Predict has not come back",
        CANNOT,
        "if call > 1: time.sleep(999)",
    ),
    Script("hangs for a while", ["plain"], [CANNOT], [YES, RESTART, YES], "2.5 s", OK, "if call == 2: time.sleep(4)"),
    Script(
        "hangs for one input",
        ["poison", "plain"],
        [CANNOT, CANNOT],
        [YES, RESTART, YES],
        "2.5 s",
        CANNOT,
        "if mode == 'poison': time.sleep(4)",
    ),
    Script(
        "hangs and is broken",
        ["plain"],
        [CANNOT],
        [YES, RESTART],
        "2.5 s",
        CANNOT,
        "if call == 2: time.sleep(3)\nif call > 2: 1 / 0",
    ),
    Script("is slow", PLAIN, [OK] * 3, [YES], predict="if call > 1: time.sleep(0.5)"),
    Script(
        "hangs in the sample",
        ["poison"] * 3,
        THREE,
        [YES, RESTART, YES],
        "2.5 s",
        INTERNAL,
        "if mode == 'poison': 1 / 0\nif call == 5: time.sleep(4)",
    ),
    Script(
        "says that it is broken",
        ["plain"],
        [f"UNAVAILABLE: {BROKEN}out of memory"],
        [YES, NO, YES],
        "out of memory",
        OK,
        "if call == 2: raise ModelBroken('out of memory')",
    ),
    Script(
        "says for good that it is broken",
        ["plain"],
        [f"UNAVAILABLE: {BROKEN}\\n\\x1b[0m é"],
        [YES, NO, RESTART],
        r"\n\x1b[0m é",
        f"UNAVAILABLE: {BROKEN}\\n\\x1b[0m é",
        "if call > 1: raise ModelBroken('\\n\\x1b[0m é')",
    ),
    Script(
        "says in a stream that it is broken",
        ["count:plain"],
        [f"UNAVAILABLE: {BROKEN}gone"],
        [YES, NO, YES],
        "gone",
        OK,
        count="if call == 2: raise ModelBroken('gone')",
    ),
    Script(
        "says nothing but that it is broken",
        ["plain"],
        [CANNOT],
        [YES, NO, YES],
        "v1.Predict",
        OK,
        "if call == 2: raise ModelBroken",
    ),
    Script(
        "is not ready for a while",
        [],
        [],
        [YES, NO, YES],
        "it returned False",
        ready="return np.equal(call == 1 or not lasts(1), True)",
    ),
    Script("is not ready any more", [], [], [YES, NO, RESTART], "it returned False", CANNOT, ready="return call < 3"),
    Script("is not ready at first", PLAIN, [OK] * 3, [YES], ready="return not lasts(1)"),
    Script(
        "fails to say whether it is ready",
        [],
        [],
        [YES, NO, YES],
        "OSError('db')",
        ready="if call > 1 and lasts(1): raise OSError('db')",
    ),
    Script(
        "says neither yes nor no",
        [],
        [],
        [YES, NO, RESTART],
        "must return True or False, got 5 (int)",
        CANNOT,
        ready="return [True, 5][call > 2]",
    ),
    Script(
        "is slow to say that it is ready",
        [],
        [],
        [YES, NO, YES],
        "0.5 s (READY_SECONDS)",
        ready="if call == 2: time.sleep(1.5)",
    ),
    Script(
        "hangs when asked whether it is ready",
        [],
        [],
        [YES, NO, RESTART, YES],
        "0.5 s (READY_SECONDS)",
        ready="if call == 2: time.sleep(4)",
    ),
    Script(
        "says when asked that it is broken",
        [],
        [],
        [YES, NO, YES],
        "no GPU",
        ready="if call > 1 and lasts(1): raise ModelBroken('no GPU')",
    ),
    Script(
        "is busy, not unready", ["plain"], [OK], [YES], ready="return True", predict="if call == 2: time.sleep(1.5)"
    ),
    Script(
        "breaks streams",
        COUNT,
        THREE,
        [YES, NO, RESTART],
        "v1.Count",
        CANNOT,
        count="if call > 1: yield from (1, 2); 1 / 0",
    ),
    Script(
        "breaks streams late",
        COUNT,
        THREE,
        [YES, NO, YES],
        "late",
        count="""
        yield from range(9)
        if 1 < call < 6: raise OSError("late")
        """,
    ),
    Script(
        "breaks streams of one input",
        ["count:poison"] * 4,
        [INTERNAL] * 4,
        [YES],
        later=INTERNAL,
        count="""
        yield 0
        if mode == "poison": raise ValueError
        """,
    ),
    Script(
        "hangs in a stream",
        ["count:plain"],
        [CANNOT],
        [YES, RESTART, YES],
        "v1.Count has not come back",
        count="""
        yield 0
        if call == 2: time.sleep(4)
        """,
    ),
    Script(
        "hangs at the end of a stream",
        ["count:plain"],
        [CANNOT],
        [YES, RESTART, YES],
        "v1.Count has not come back",
        count="""
        try: yield 0
        finally:
            if call == 2: time.sleep(4)
        """,
    ),
    Script(
        "breaks at the end of streams",
        COUNT,
        THREE,
        [YES, NO, RESTART],
        "torn",
        CANNOT,
        count="""
        try: yield 0
        finally:
            if call > 1: raise OSError("torn")
        """,
    ),
    Script(
        "breaks in both methods",
        [*PLAIN, *COUNT],
        [*THREE, CANNOT, CANNOT, CANNOT],
        [YES, NO, YES],
        "v1.Predict",
        predict="if 1 < call < 6: raise OSError",
        count="if call > 1: raise OSError",
    ),
    Script(
        "waits for good, async",
        ["plain"],
        [CANNOT],
        [YES, RESTART],
        "v1.Predict has not come back",
        CANNOT,
        "if call > 1: await asyncio.sleep(999)",
        is_async=True,
    ),
    Script(
        "blocks its loop, async",
        ["plain"],
        [CANNOT],
        [YES, RESTART, YES],
        "v1.Predict has not come back",
        OK,
        "if call == 2: time.sleep(4)",
        is_async=True,
    ),
    Script(
        "says that it is broken, async",
        ["count:plain"],
        [f"UNAVAILABLE: {BROKEN}gone"],
        [YES, NO, YES],
        "gone",
        OK,
        count="""
        yield 0
        if call == 2: raise ModelBroken('gone')
        """,
        is_async=True,
    ),
    Script(
        "hangs when asked whether it is ready, async",
        [],
        [],
        [YES, NO, RESTART, YES],
        "0.5 s (READY_SECONDS)",
        ready="if call == 2: await asyncio.sleep(4)",
        is_async=True,
    ),
    Script("loads slowly", ["plain"], ["UNAVAILABLE: the model is still loading"], [NO, YES], load="time.sleep(2)"),
]


@dataclass
class Seen:
    """What a client saw of a server."""

    health: list[str]
    ends: list[str]
    later: str = ""


class Client:
    """Asks one of the servers."""

    def __init__(self, probe: Probe, target: str) -> None:
        self.target = target
        self._messages = probe.messages
        self._channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
        self._health = HealthStub(self._channel)

    def health(self) -> str:
        """What health says of all names, in one reply."""
        reply = self._health.List(HealthListRequest(), timeout=PATIENCE, wait_for_ready=True)
        states = {name: state.status == SERVING for name, state in reply.statuses.items()}
        assert states[""] == states[SERVICE]
        return {(True, True): YES, (False, True): NO, (False, False): RESTART}[states[""], states["liveness"]]

    def ask(self, what: str) -> str:
        """How a call ends."""
        stream, _, mode = what.rpartition(":")
        try:
            if stream:
                request = self._messages["CountRequest"](until=5, mode=mode)
                list(self._call("Count", self._channel.unary_stream)(request, timeout=PATIENCE))
            else:
                request = self._messages["PredictRequest"](value=1, mode=mode)
                self._call("Predict", self._channel.unary_unary)(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        return OK

    def _call(self, method: str, make: Callable[..., Any]) -> Any:
        serialize = self._messages[f"{method}Request"].SerializeToString
        return make(f"/{SERVICE}/{method}", serialize, self._messages[f"{method}Response"].FromString)


def follow(client: Client, script: Script, settle: float = 1.5) -> Seen:
    """Asks what the script says, and writes down what health says meanwhile, until that changes no more."""
    seen = Seen([], [])
    if script.health[0] == YES:
        while client.health() != YES:
            time.sleep(0.1)
        seen.health.append(YES)
    asking = threading.Thread(target=lambda: seen.ends.extend(map(client.ask, script.asks)))
    asking.start()
    changed, end = time.monotonic(), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        health = client.health()
        if seen.health[-1:] != [health]:
            seen.health.append(health)
            changed = time.monotonic()
        as_wanted = seen.health == list(script.health) and not asking.is_alive()
        if as_wanted and time.monotonic() > changed + settle:
            break
        time.sleep(0.1)
    asking.join()
    seen.later = client.ask(script.asks[0] if script.asks else "plain")
    return seen


@contextmanager
def scripted(probe: Probe, scripts: Sequence[Script], folder: Path) -> Iterator[tuple[list[Client], Lines]]:
    """A client for the server of each script, and their log."""
    project = probe.with_model(MODEL, folder / "project")
    paths = [folder / f"{number}.txt" for number in range(len(scripts))]
    for path, script in zip(paths, scripts, strict=True):
        path.write_text(script.source, encoding="utf-8")
    command = [sys.executable, "-c", RUNNER, json.dumps(SETTINGS), *map(str, paths)]
    with subprocess.Popen(
        command, cwd=project.path, env=project.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        log = Lines(process.stderr)
        try:
            listening = log.wait(lambda line: line["message"].startswith("listening"), count=len(scripts))
            ports = dict(line["message"].removeprefix("listening on ").split(", port ") for line in listening)
            yield (
                [
                    Client(project, f"127.0.1.{number}:{ports[f'127.0.1.{number}']}")
                    for number in range(1, len(paths) + 1)
                ],
                log,
            )
        finally:
            process.kill()
            log.ended()
