"""What people get wrong in the first hour, and what the client and the log then say: a row of MISUSES for each.

Every row runs the real server process of an iris project, with its files edited as somebody would get them wrong, and
asks it over the network. docs/misuse.md has the same rows for readers; tests/docs holds that page to these.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from serving import INTRODUCTION, NOT_SERVING, PATIENCE, SERVING, Probe, Server, starting
from support import Project, create, run

PREDICT = "/iris.v1.PredictionService/Predict"
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
VIRGINICA = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}
SLOW = {**FLOWER, "sepal_length": 29.0}  # the models of AT_WORK and IN_PYTHON take long for it

NOTHING = "nothing"
INTERNAL = "INTERNAL: the server failed to answer this request"
NEVER_SERVES = "UNAVAILABLE: the model is still loading; health stays NOT_SERVING; the server exits with 1"
Act = Callable[[Server], str]
PROBE_SECONDS = 1.0  # after which Kubernetes, by default, takes a health probe as failed


@dataclass(frozen=True)
class Edit:
    """What stands in a file of the project, and what somebody writes in its place."""

    old: str
    new: str
    file: str = "src/iris/model.py"


@dataclass(frozen=True)
class Misuse:
    """One row: what is done wrong, how it is made here, and the whole of what is told about it.

    `act` uses the server as a client does and returns what that sees. `log` has every line that a server which is used
    well would not write, with the project in /app, as in the container. Rows with the same edits and settings that
    follow one another share a server, unless they start or stop it.
    """

    title: str
    act: Act
    client: str
    log: str = NOTHING
    edits: tuple[Edit, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    from_start: bool = False  # it is asked before it serves


def seen(call: Callable[[], Any]) -> str:
    """How a call ends, as its caller sees it."""
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


def message(server: Server, fields: Mapping[str, Any]) -> bytes:
    """A request by a client that knows nothing but the server's address."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(server.channel))
    request = message_factory.GetMessageClass(pool.FindMessageTypeByName("iris.v1.PredictRequest"))
    return bytes(request(**fields).SerializeToString())


def asks(change: Mapping[str, Any] | None = None, *, without: str = "", more: bytes = b"") -> Act:
    """Sends a flower with other or fewer fields, and with what its message does not know."""
    fields = {name: value for name, value in {**FLOWER, **(change or {})}.items() if name != without}
    return lambda server: sends(message(server, fields) + more)(server)


def sends(data: bytes, path: str = PREDICT) -> Act:
    """Sends bytes, whatever they are."""
    metadata = [("x-request-id", "42")]
    return lambda server: seen(lambda: server.channel.unary_unary(path)(data, timeout=PATIENCE, metadata=metadata))


def waits_for_start(server: Server) -> str:
    """Asks while the server loads, which it does from then on; it must end by itself."""
    states = server.watch()
    assert next(states) == NOT_SERVING
    answer = sends(b"")(server)
    server.release()
    assert SERVING not in states
    return f"{answer}; health stays NOT_SERVING; the server exits with {server.ended()}"


def waits_for_slow_start(server: Server) -> str:
    """Asks while the model's class loads its artifact, and when it has."""
    server.log.wait(lambda line: line["message"].startswith("loading "))
    states = server.watch()
    assert (next(states), server.health("liveness")) == (NOT_SERVING, SERVING)
    answer = sends(b"")(server)
    server.release()
    assert next(states) == SERVING
    return f"{answer}; health is NOT_SERVING, liveness SERVING; when it is loaded: {asks()(server)}"


def fills(server: Server, number: int = 4) -> list[Any]:
    """Calls in flight, as many as MAX_IN_FLIGHT lets in: the model takes long for the first, and the rest wait."""
    send, slow, flower = server.channel.unary_unary(PREDICT), message(server, SLOW), message(server, FLOWER)
    before = sum(SLOW["sepal_length"] in batch for batch in server.batches())
    calls = [send.future(slow, timeout=PATIENCE)]
    server.told.wait(lambda line: SLOW["sepal_length"] in line.get("batch", ()), count=before + 1)
    calls += [send.future(flower, timeout=PATIENCE) for _ in range(number - 1)]
    while not sends(b"")(server).startswith("RESOURCE_EXHAUSTED"):  # else it has not taken all of them yet
        assert not any(call.done() for call in calls)
    return calls


def ends(calls: list[Any]) -> str:
    """How the calls end, all in the same way."""
    (end,) = {seen(call.result) for call in calls}
    return f"all {len(calls)} end with {end}"


def sends_too_many(server: Server) -> str:
    calls = fills(server)
    fifth = asks()(server)
    server.release()
    assert ends(calls) == "all 4 end with OK"
    return fifth


def stops_it(server: Server) -> str:
    calls, states = fills(server), server.watch()
    assert next(states) == SERVING
    server.terminate()
    assert next(states) == NOT_SERVING
    server.release()
    return f"{ends(calls)}; health says NOT_SERVING; the server exits with {server.ended()}"


def asks_one_that_stops(server: Server) -> str:
    calls = fills(server)
    server.terminate()
    while not (late := asks()(server)).startswith("UNAVAILABLE"):  # until then it is refused as one too many
        assert not any(call.done() for call in calls)
    server.release()
    assert ends(calls) == "all 4 end with OK"
    assert server.ended() == 0
    return late


def stops_one_that_hangs(server: Server) -> str:
    calls = fills(server)
    server.terminate()
    return f"{ends(calls)}; the server exits with {server.ended()}"


def asks_for_health_under_load(server: Server) -> str:
    calls, slowest = fills(server, 64), 0.0
    for name in ("", "iris.v1.PredictionService", "liveness") * 5:
        start = time.perf_counter()
        assert server.health(name) == SERVING
        slowest = max(slowest, time.perf_counter() - start)
    server.release()
    assert slowest < PROBE_SECONDS, slowest
    return f"health says SERVING within a second; {ends(calls)}"


def asks_what_blocks(server: Server) -> str:
    """Asks for health while the model sleeps."""
    call = server.channel.unary_unary(PREDICT).future(message(server, SLOW), timeout=PATIENCE)
    slowest = 0.0
    while not call.done():
        start = time.perf_counter()
        assert server.health() == SERVING
        slowest = max(slowest, time.perf_counter() - start)
        with suppress(grpc.FutureTimeoutError):
            call.exception(timeout=0.2)
    assert slowest < PROBE_SECONDS, slowest
    return f"health says SERVING within a second; {seen(call.result)}"


def asks_in_json(server: Server) -> str:
    """The project's own client."""
    data = '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": "wide"}'
    command = [sys.executable, "scripts/predict.py", "--target", f"127.0.0.1:{server.port}", "--data", data]
    done = run(command, cwd=server.probe.path, env=server.probe.environment, check=False)
    return f"{' '.join(done.stderr.split())}; predict.py exits with {done.returncode}"


IMPORTS = "from __future__ import annotations\n"
LAST_IMPORT = "from iris.contract import PredictRequest, PredictResponse, Species\n"
ARTIFACT = '"artifacts/model.npz"'
LOAD = """\
        with np.load(artifact, allow_pickle=False) as arrays:  # a pickle could run code
            self.arrays = {name: arrays[name] for name in arrays.files}
"""
ROWS = "        rows = np.array([features(request) for request in batch], dtype=float)\n"
BLOCKING_ROWS = """\
        if request.sepal_length == 29:
            time.sleep(3)
        rows = np.array([features(request)], dtype=float)
"""
REPLIES = "        return [response(row) for row in outputs]\n"
SPECIES = "species=list(Species)[int(outputs.argmax())]"
PROBABILITIES = "probabilities=outputs)"
LAST_FIELD = "        - name: petal_width\n          number: 4\n"
PHOTO = "        - {name: photo, number: 5, type: bytes, max_length: 8000000, required: false}\n"

# What the warm-up does not meet.
SOMETIMES = (
    Edit(PROBABILITIES, "probabilities=outputs if outputs[0] > 0.5 else outputs[1:])"),
    Edit("request.petal_width]", "1 / (1 / request.petal_width)]"),
)
# A test decides when a model that takes its time goes on: when there is a line to read.
LOADING = Edit(LAST_IMPORT, f"{LAST_IMPORT}\nimport sys\n\nsys.stdin.readline()\n")
DOWNLOADING = (Edit(IMPORTS, f"{IMPORTS}\nimport sys\n"), Edit(LOAD, f"        sys.stdin.readline()\n{LOAD}"))
LENGTHS = """\
        lengths = [request.sepal_length for request in batch]
        print(json.dumps({"batch": lengths}), flush=True)
"""
AT_WORK = (
    Edit(IMPORTS, f"{IMPORTS}\nimport json\nimport sys\n"),
    Edit(ROWS, f"{LENGTHS}        if 29 in lengths:\n            sys.stdin.readline()\n{ROWS}"),
)
# In pure Python, so that it has the interpreter's lock all the time.
IN_PYTHON = (
    Edit(IMPORTS, f"{IMPORTS}\nimport json\nimport sys\nimport threading\n"),
    Edit(
        ROWS,
        f"""{LENGTHS}        if 29 in lengths:
            reader = threading.Thread(target=sys.stdin.readline, daemon=True)
            reader.start()
            while reader.is_alive():
                pass
{ROWS}""",
    ),
)


def unfit(what: str) -> str:
    """The log when the warm-up finds that the model's reply does not fit."""
    return (
        f"ERROR v1.Predict (request warm-up): the model's reply is wrong: {what}\n"
        "CRITICAL the warm-up request of v1.Predict failed: the server failed to answer this request"
    )


def wrong(title: str, log: str, *edits: Edit) -> Misuse:
    """What keeps the server from serving: all the client ever learns is that it does not."""
    return Misuse(title, waits_for_start, NEVER_SERVES, log, (LOADING, *edits), from_start=True)


MISUSES = (
    wrong(
        "`predict` is not implemented",
        "CRITICAL loading the model failed: "
        "write predict in class Model of /app/src/iris/model.py: see contract.ModelInterface",
        Edit("def predict(", "def infer("),
    ),
    wrong(
        "`predict` forgets its `return`",
        unfit("reply: wanted a sequence of 1, one for each request, got None"),
        Edit(REPLIES, REPLIES.replace("return ", "")),
    ),
    wrong(
        "two values where three belong",
        unfit("probabilities: wanted float32 of shape (3,), got float64 of shape (2,)"),
        Edit(PROBABILITIES, "probabilities=outputs[:2])"),
    ),
    Misuse(
        "two values where three belong, in some replies only",
        asks(VIRGINICA),
        INTERNAL,
        "ERROR v1.Predict (request 42): the model's reply is wrong: "
        "probabilities: wanted float32 of shape (3,), got float64 of shape (2,)",
        SOMETIMES,
    ),
    wrong(
        "a list in place of a message",
        unfit("reply: wanted PredictResponse, got list of 3"),
        Edit(REPLIES, "        return outputs.tolist()\n"),
    ),
    wrong(
        "`predict` becomes `async def`, and still takes a batch",
        "ERROR v1.Predict (request warm-up): TypeError(\"'PredictRequest' object is not iterable\") "
        "A method gets one request, not a batch, if it is `async def` or streams. (with its traceback)\n"
        "CRITICAL the warm-up request of v1.Predict failed: the server failed to answer this request",
        Edit("    def predict(", "    async def predict("),
    ),
    wrong(
        "`async def predict` has a `yield` in place of its `return`",
        "CRITICAL loading the model failed: `async def predict` in class Model of /app/src/iris/model.py has one "
        "reply, and needs `return` in place of `yield`",
        Edit("    def predict(", "    async def predict("),
        Edit(REPLIES, REPLIES.replace("return ", "yield ")),
    ),
    Misuse(
        "`async def predict` calls what blocks",
        asks_what_blocks,
        "health says SERVING within a second; OK",
        "WARNING the model has blocked its event loop for 1.5 s, and all async calls wait: File "
        '"/app/src/iris/model.py", line 30 in predict. '
        "Await something that does not block, call what blocks by asyncio.to_thread, or write the "
        "method without async",
        (
            Edit(IMPORTS, f"{IMPORTS}\nimport time\n"),
            Edit("    def predict(self, batch:", "    async def predict(self, request:"),
            Edit(ROWS, BLOCKING_ROWS),
            Edit(REPLIES, "        return response(outputs[0])\n"),
        ),
    ),
    wrong(
        "a field of the reply is missing",
        'ERROR v1.Predict (request warm-up): TypeError("PredictResponse.__init__() missing 1 required keyword-only '
        "argument: 'probabilities'\") (with its traceback)\n"
        "CRITICAL the warm-up request of v1.Predict failed: the server failed to answer this request",
        Edit(f", {PROBABILITIES}", ")"),
    ),
    wrong(
        "a field of the reply has the wrong type",
        unfit("species: wanted Species (SETOSA, VERSICOLOR, VIRGINICA), got 'setosa' (str)"),
        Edit(SPECIES, 'species=["setosa", "versicolor", "virginica"][int(outputs.argmax())]'),
    ),
    wrong(
        "NaN in the reply",
        unfit("probabilities[0]: wanted float32 from 0 to 1, got nan (float)"),
        Edit(PROBABILITIES, "probabilities=outputs * np.nan)"),
    ),
    Misuse(
        "the model raises for some requests",
        asks({"petal_width": 0}),
        INTERNAL,
        "ERROR v1.Predict (request 42): ZeroDivisionError('float division by zero') (with its traceback)",
        SOMETIMES,
    ),
    Misuse(
        "loading is slow",
        waits_for_slow_start,
        "UNAVAILABLE: the model is still loading; health is NOT_SERVING, liveness SERVING; when it is loaded: OK",
        edits=DOWNLOADING,
        from_start=True,
    ),
    wrong(
        "loading fails: the class raises",
        "CRITICAL loading the model failed: FileNotFoundError: [Errno 2] No such file or directory: 'labels.txt' "
        "Put the model's files into artifacts/, which the image has too, and open them below artifact.parent. "
        "(with its traceback)",
        Edit(LOAD, f'{LOAD}        self.labels = Path("labels.txt").read_text()\n'),
    ),
    wrong(
        "loading fails: a package is not installed",
        "CRITICAL loading the model failed: ModuleNotFoundError: No module named 'catboost' "
        "If catboost is a package from an index, add it to requirements/model.txt and run `make lock setup`. "
        "If it is a module of your own, which the artifact may need too, put it into src/ (src/catboost.py). "
        "(with its traceback)",
        Edit(LOAD, f"        import catboost\n\n{LOAD}"),
    ),
    wrong(
        "loading fails: there is no artifact",
        "CRITICAL loading the model failed: the artifact artifacts/model-v2.npz does not exist, "
        "but artifacts has model.npz: ARTIFACT in model.py or the setting MODEL_PATH names the one to load",
        Edit(ARTIFACT, '"artifacts/model-v2.npz"'),
    ),
    Misuse("a field is missing", asks(without="petal_width"), "INVALID_ARGUMENT: petal_width: is required"),
    Misuse(
        "a field has the wrong type, in JSON",
        asks_in_json,
        '--data is not a request of Predict: petal_width: must be a number; got "wide"; predict.py exits with 2',
    ),
    Misuse(
        "a field has the wrong type, by a client with another .proto",
        asks(without="petal_width", more=b"\x25\xcd\xcc\x4c\x3e"),  # 0.2 as field 4 in 32 bits, not in 64
        "INVALID_ARGUMENT: petal_width: is required",
    ),
    Misuse("NaN", asks({"petal_width": float("nan")}), "INVALID_ARGUMENT: petal_width: must be from 0 to 30; got nan"),
    Misuse(
        "a value that is too large, and another field missing",
        asks({"sepal_length": 510}, without="petal_width"),
        "INVALID_ARGUMENT: sepal_length: must be from 0 to 30; got 510.0; petal_width: is required",
    ),
    Misuse(
        "JSON in place of a message",
        sends(b'{"sepal_length": 5.1}'),
        "INVALID_ARGUMENT: the bytes are not a valid iris.v1.PredictRequest",
    ),
    Misuse("a method of another name", sends(b"", path=f"{PREDICT}ion"), "UNIMPLEMENTED: Method not found!"),
    Misuse(
        "5 MB, where the contract has no room for it",
        sends(bytes(5_000_000)),
        "RESOURCE_EXHAUSTED: SERVER: Received message larger than max (5000000 vs. 4194304)",
    ),
    Misuse(
        "5 MB, where the contract has room for it",
        asks({"photo": bytes(5_000_000)}),
        "OK",
        edits=(Edit(LAST_FIELD, f"{PHOTO}{LAST_FIELD}", "schema.yaml"),),
    ),
    Misuse(
        "too many requests at once",
        sends_too_many,
        "RESOURCE_EXHAUSTED: 4 requests are in flight already",
        "WARNING requests refused since 13:02:17 UTC: 1 (RESOURCE_EXHAUSTED, above MAX_IN_FLIGHT=4)",
        edits=AT_WORK,
        settings={"MAX_IN_FLIGHT": "4"},
    ),
    Misuse(
        "SIGTERM with requests in flight",
        stops_it,
        "all 4 end with OK; health says NOT_SERVING; the server exits with 0",
        "INFO stopping, with 4 requests in flight",
        AT_WORK,
        {"MAX_IN_FLIGHT": "4"},
    ),
    Misuse(
        "a new request after SIGTERM",
        asks_one_that_stops,
        "UNAVAILABLE: the server is stopping",
        "INFO stopping, with 4 requests in flight",
        AT_WORK,
        {"MAX_IN_FLIGHT": "4"},
    ),
    Misuse(
        "SIGTERM, and the model hangs",
        stops_one_that_hangs,
        "all 4 end with UNAVAILABLE: Cancelling all calls; the server exits with 1",
        "INFO stopping, with 4 requests in flight\n"
        "ERROR requests without a reply after DRAIN_SECONDS: 4\n"
        "WARNING the model is still computing; the process ends without it",
        AT_WORK,
        {"MAX_IN_FLIGHT": "4", "DRAIN_SECONDS": "0.3"},
    ),
    Misuse(
        "health under load, and the model holds the interpreter's lock",
        asks_for_health_under_load,
        "health says SERVING within a second; all 64 end with OK",
        edits=IN_PYTHON,
        settings={"MAX_IN_FLIGHT": "64", "MAX_IN_FLIGHT_PER_CONNECTION": "64"},
    ),
)


def edited(project: Project, folder: Path, edits: tuple[Edit, ...], transport: str) -> Probe:
    """A copy of the project with these edits, and with what follows from them generated."""
    shutil.copytree(project.path, folder)
    copy = Probe(folder, project.package, transport=transport)
    for edit in edits:
        text = (folder / edit.file).read_text(encoding="utf-8")
        assert text.count(edit.old) == 1, f"{edit.file} has no longer, once: {edit.old}"
        (folder / edit.file).write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    if any(edit.file == "schema.yaml" for edit in edits):
        copy.python("scripts/generate.py")
    return copy


# What a server tells that is started, used and stopped as it is meant to be.
ORDINARY = (INTRODUCTION, "Settings(", "listening on ", "loading /", "loading artifacts/", "serving ")
NUMBERS = count()


def told(server: Server, since: int, ordinary: tuple[str, ...]) -> str:
    """What the log has from line `since` on, without what begins with `ordinary`; a traceback is only mentioned."""
    if server.process.poll() is None:  # then the log is complete up to the line of one more request, which is good
        number = f"after-{next(NUMBERS)}"
        good = message(server, FLOWER)
        server.channel.unary_unary(PREDICT)(good, timeout=PATIENCE, metadata=[("x-request-id", number)])
        server.log.wait(lambda line: line.get("request_id") == number)
    else:
        server.log.ended()
    assert [line for line in server.log.all if not line.startswith("{")] == []
    lines = [line for line in server.log.json()[since:] if "ms" not in line]
    texts = [
        f"{line['level']} {' '.join(line['message'].split())}{' (with its traceback)' if 'error' in line else ''}"
        for line in lines
        if not line["message"].startswith(ordinary)
    ]
    text = re.sub(r"since \d\d:\d\d:\d\d UTC", "since 13:02:17 UTC", "\n".join(texts))
    text = re.sub(r"for [\d.]+ s(, and .*) line \d+", r"for 1.5 s\1 line 30", text)
    return text.replace(str(server.probe.path), "/app") or NOTHING


class Servers:
    """The servers of this row and of the next one, which loads meanwhile."""

    def __init__(self, iris: Project, folder: Path, transport: str) -> None:
        self.iris, self.folder, self.transport = iris, folder, transport
        self.numbers = count()
        self.running: dict[object, tuple[Server, ExitStack]] = {}

    def of(self, misuse: Misuse) -> Server:
        """The row's server, SERVING unless the row is about what comes before."""
        at = MISUSES.index(misuse)
        wanted = {(row.edits, *row.settings.items()): row for row in reversed(MISUSES[at : at + 2])}
        for key, (server, stack) in list(self.running.items()):
            if key not in wanted or server.process.poll() is not None:
                stack.close()
                del self.running[key]
        for key, row in reversed(wanted.items()):
            if key not in self.running:
                stack = ExitStack()
                probe = edited(self.iris, self.folder / str(next(self.numbers)), row.edits, self.transport)
                self.running[key] = stack.enter_context(starting(probe, LOG_REQUESTS="true", **row.settings)), stack
        server, _ = self.running[misuse.edits, *misuse.settings.items()]
        return server if misuse.from_start else server.until_serving()

    def close(self) -> None:
        for _, stack in self.running.values():
            stack.close()


@pytest.fixture(scope="module")
def servers(template: Path, tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Servers]:
    """All of the default project, but with the framework that is imported soonest."""
    folder = tmp_path_factory.mktemp("misuse")
    iris = create(template, folder / "iris", framework="python")
    iris.python("train.py")
    made = Servers(iris, folder, transport)
    yield made
    made.close()


@pytest.mark.each_transport
@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.title)
def test_client_and_log_say_what_is_wrong(misuse: Misuse, servers: Servers) -> None:
    server = servers.of(misuse)
    since = len(server.log.json())
    client = misuse.act(server)
    # `fills` itself goes on until a request is refused.
    ordinary = ORDINARY if misuse.act is sends_too_many else (*ORDINARY, "requests refused ")
    assert (client, told(server, since, ordinary)) == (misuse.client, misuse.log)
