"""A project for a foreign .proto takes whatever a plain client of that file sends, and passes its own checks."""

from __future__ import annotations

import ast
import os
import random
import sys
from pathlib import Path

import grpc
import pytest

from foreign import plain
from foreign.test_carried import PROTOS
from protoserve.cli import main
from protoserve.emit import generated_files as codegen
from protoserve.intake.proto.convert import from_proto
from protoserve.project.adopt import servicer
from protoserve.schema.load import loads
from serving import Probe, serving
from support import Project, create, run, tool

SURVIVES = """
import importlib, random, sys
from pathlib import Path
import numpy
sys.path.insert(0, sys.argv[1])
from foreign import plain
from google.protobuf import descriptor_pool
class Channel:
    def __init__(self):
        self.paths = set()
    def __getattr__(self, kind):
        return lambda path, *_, **__: self.paths.add(path)
for name, data in zip(sys.argv[2::2], sys.argv[3::2]):
    sys.path.insert(0, data + "/src")
    contract = importlib.import_module(name + ".contract")
    descriptor_pool.Default().FindServiceByName(contract.SERVICE)  # for reflection
    kinds = plain.messages(Path(data, "set").read_bytes())
    for method in contract.METHODS:
        request, reply = kinds[method.name]
        taken = "encode" + next(key for key, value in vars(contract).items() if value is method.decode)[len("decode"):]
        for seed in range(-1, 30):
            sent = request() if seed < 0 else plain.filled(request(), random.Random(seed))
            again = request.FromString(getattr(contract, taken)(method.decode(request.SerializeToString(sent))))
            # By bytes, since NaN is not itself; maps have no order, unless it is asked for.
            first, second = (request.SerializeToString(item, deterministic=True) for item in (sent, again))
            assert first == second, (sent, again)
    module = sys.modules[f"{name}.contract.{contract.METHODS[0].version}"]
    stubs = importlib.import_module(module.pb.__name__ + "_grpc")
    channel = Channel()
    next(value for key, value in vars(stubs).items() if key.endswith("Stub"))(channel)
    assert channel.paths >= {method.path for method in contract.METHODS}
    print(name, len(contract.METHODS))
"""


@pytest.mark.slow
def test_whatever_is_sent_survives(tmp_path: Path) -> None:
    """From bytes of the original .proto to the model's messages and back, with nothing lost and nothing refused."""
    arguments = []
    for path in PROTOS:
        package, folder = f"of_{path.stem}", tmp_path / path.stem
        (folder / "src" / package).mkdir(parents=True)
        (folder / "src" / package / "__init__.py").touch()
        (folder / "schema.yaml").write_text(from_proto(path, package), encoding="utf-8")
        codegen.apply(codegen.plan(folder, package))
        plain.compiled(path, folder)
        arguments += [package, str(folder)]
    told = run([sys.executable, "-c", SURVIVES, str(Path(__file__).parents[1]), *arguments], cwd=tmp_path).stdout
    assert len(told.splitlines()) == len(PROTOS)


def test_a_plain_client_can_send_what_counts() -> None:
    path = next(path for path in PROTOS if path.stem == "legacy")
    kind = _legacy(path)
    sent = [plain.filled(kind(), random.Random(seed)) for seed in range(60)]
    assert {item.main for item in sent} >= {0, 1, 2, -5}
    assert {item.WhichOneof("Either") for item in sent} >= {"leftSide", "rightSide", "Middle"}


def _legacy(path: Path) -> type:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        kind: type = plain.messages(plain.compiled(path, Path(folder)))["measure"][0]
    return kind


@pytest.fixture(scope="module", params=["inference", pytest.param("chat", marks=pytest.mark.slow)])
def served(request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose schema was the answer, with the example model trained."""
    path = next(path for path in PROTOS if path.stem == request.param)
    answers = {"project_name": request.param, "package": f"their_{request.param}", "framework": "python"}
    project = create(template, tmp_path_factory.mktemp("served") / request.param, schema=str(path), **answers)
    project.python("train.py")
    return project


def test_a_real_client_of_the_original_is_answered(served: Project) -> None:
    (path,) = (path for path in PROTOS if path.stem == served.path.name)
    with serving(Probe(served.path, served.package)) as server:
        command = [sys.executable, str(Path(plain.__file__)), str(path), str(server.port)]
        told = run(command, cwd=served.path.parent).stdout
    assert len(told.splitlines()) == len(list((served.path / "tests" / "requests").glob("*.json")))


def test_what_is_not_served_is_answered_in_words(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A stream of requests, a unary call and a stream of replies; the others are served, and verify passes."""
    monkeypatch.chdir(PROTOS[0].parent)
    answers = ["--schema", "streams.proto", "--framework", "python", "--defaults"]
    command = ["new", str(tmp_path / "streams"), "--template", str(template), *answers]
    assert main(command) == 1
    assert "--serve Predict,Watch,Info" in capfd.readouterr().err
    assert main([*command, "--serve", "Predict,Watch"]) == 0
    assert "streams.proto: not served, callers get UNIMPLEMENTED: PredictStream, Upload, Info" in capfd.readouterr().err
    project = Project(tmp_path / "streams", "streams")
    project.python("train.py")
    service = "/streams.v1.Predictor"
    with serving(Probe(project.path, project.package)) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            both = channel.stream_stream(f"{service}/PredictStream")
            calls = {
                "PredictStream": lambda: list(both(iter([b"", b""]), timeout=20)),
                "Upload": lambda: channel.stream_unary(f"{service}/Upload")(iter([b""]), timeout=20),
                "Info": lambda: channel.unary_unary(f"{service}/Info")(b"", timeout=20),
            }
            for name, call in calls.items():
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                error = caught.value
                assert isinstance(error, grpc.Call)
                assert error.code() is grpc.StatusCode.UNIMPLEMENTED
                words = f"{name} is part of streams.v1.Predictor, but this server does not answer it, only Predict, W"
                assert words in str(error.details())
            assert channel.unary_unary(f"{service}/Predict")(b"", timeout=20)
        address = f"127.0.0.1:{server.port}"
        assert main(["verify", address, "--project", str(project.path), "--only", "implemented,health-service"]) == 0
    assert "2 methods: Predict answers OK; Watch answers OK" in capfd.readouterr().out


@pytest.mark.slow
def test_the_answer_is_asked_for_where_copier_was_called(template: Path, tmp_path: Path) -> None:
    """As with every path of the question, from the folder of the command; without the command line, too."""
    (proto,) = (path for path in PROTOS if path.stem == "inference")
    (tmp_path / "their.proto").write_bytes(proto.read_bytes())
    env = os.environ | {"PWD": str(tmp_path)}  # as a shell has it
    command = [tool("copier"), "copy", "--trust", "--defaults", "--quiet", "--data", "schema=their.proto"]
    run([*command, str(template), "project"], cwd=tmp_path, env=env)
    assert "Taken over from their.proto" in (tmp_path / "project" / "schema.yaml").read_text(encoding="utf-8")
    refused = run([*command[:-1], "schema=none.proto", str(template), "other"], cwd=tmp_path, env=env, check=False)
    assert refused.returncode != 0
    assert "none.proto:1:1: the file does not exist" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_adopt_says_of_a_method_that_is_not_served_that_it_goes_nowhere() -> None:
    path = next(path for path in PROTOS if path.stem == "streams")
    contract = loads(from_proto(path, "proj", serve="Predict"))
    code = "class P(g.PredictorServicer):\n  def Predict(self, r, c): pass\n  def Upload(self, r, c): pass\n"
    (made,) = servicer.servicers(contract, {"server.py": ast.parse(code)})
    assert [note.instead.partition("(")[0] for note in made.methods] == [
        "Model.predict",
        "nothing: `served: false` in schema.yaml",
    ]
    assert made.missing == []
