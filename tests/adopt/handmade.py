"""Two projects that were made by hand, as their authors left them: .proto, stubs, a servicer and a client."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from releases import commit, git
from support import ROOT, run

# A flat project: everything at the top, a sync servicer, its .proto in a folder that buf does not know.
GREETER = {
    "protos/greeter.proto": (ROOT / "tests" / "foreign" / "protos" / "helloworld.proto").read_text(encoding="utf-8"),
    "requirements.txt": "grpcio\nemoji==2.1.0\n",
    "README.md": "# Greeter\n\nSays hello.\n",
    "Makefile": "run:\n\tpython server.py\n",
    ".gitignore": "*.log\n__pycache__/",
    "Dockerfile": 'FROM python:3.12\nCOPY . .\nCMD ["python", "server.py"]\n',
    "tests/test_words.py": "from words import polite\n\n\ndef test_polite():\n    assert polite('a') == 'Dear a'\n",
    "words.py": "def polite(name):\n    return f'Dear {name}'\n",
    "server.py": """\
from concurrent import futures
import signal

import grpc

import greeter_pb2
import greeter_pb2_grpc
from words import polite

GREETING = "Hello"
LIMIT = 3


def load():
    return {"times": LIMIT}


class Greeter(greeter_pb2_grpc.GreeterServicer):
    def __init__(self):
        self.model = load()

    def _text(self, name):
        return f"{GREETING}, {polite(name)}!"

    def SayHello(self, request, context):
        if not request.name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "give a name")
        return greeter_pb2.HelloReply(message=self._text(request.name))

    def SayHelloStreamReply(self, request, context):
        for index in range(self.model["times"]):
            if not context.is_active():
                return
            yield greeter_pb2.HelloReply(message=f"{index}: {self._text(request.name)}")


def serve(port="50051"):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    greeter_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    import sys

    serve(sys.argv[1])
""",
    "client.py": """\
import sys

import grpc

import greeter_pb2
import greeter_pb2_grpc

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.enable_http_proxy", 0)]) as channel:
    stub = greeter_pb2_grpc.GreeterStub(channel)
    for name in ("Ada", "Grace Hopper", "x" * 2000, "å"):
        print(stub.SayHello(greeter_pb2.HelloRequest(name=name), wait_for_ready=True, timeout=30))
    print(*stub.SayHelloStreamReply(greeter_pb2.HelloRequest(name="Ada"), timeout=30))
    print(*stub.SayHelloStreamReply(greeter_pb2.HelloRequest(), timeout=30))
    try:
        stub.SayHello(greeter_pb2.HelloRequest(), timeout=30)
    except grpc.RpcError as error:
        print(error.code())
""",
}
# What the author makes of it afterwards, following the report.
GREETER_MODEL = '''\
"""Says hello."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from {package}.contract import HelloReply, HelloRequest, InvalidRequest

ARTIFACT = Path("artifacts/model.npz")
GREETING = "Hello"
LIMIT = 3


def polite(name: str) -> str:
    return f"Dear {{name}}"


class Model:
    def __init__(self, artifact: Path) -> None:
        self.model = {{"times": LIMIT}}

    def _text(self, name: str) -> str:
        return f"{{GREETING}}, {{polite(name)}}!"

    def say_hello(self, batch: Sequence[HelloRequest]) -> Sequence[HelloReply]:
        return [self._hello(request) for request in batch]

    def _hello(self, request: HelloRequest) -> HelloReply:
        if not request.name:
            raise InvalidRequest("give a name", field="name")
        return HelloReply(message=self._text(request.name))

    def say_hello_stream_reply(self, request: HelloRequest) -> Iterator[HelloReply]:
        for index in range(self.model["times"]):
            yield HelloReply(message=f"{{index}}: {{self._text(request.name)}}")
'''

# A src layout: an aio servicer, stubs committed inside the package, a pyproject.toml, no version in the proto package.
VISION_PROTO = """\
syntax = "proto3";

package vision.detect;

// Finds things.
service Detector {
  rpc detect(DetectRequest) returns (DetectReply);
  rpc Watch(DetectRequest) returns (stream DetectReply);
  rpc Describe(DescribeRequest) returns (DetectReply);
}

enum Kind {
  UNKNOWN = 0;
  CAT = 1;
  DOG = 2;
}

message DetectRequest {
  bytes image = 1;
  optional float threshold = 2;
  repeated Kind wanted = 3;
  oneof source {
    string camera = 4;
    int64 frame = 5;
  }
}

message DescribeRequest {}

message DetectReply {
  message Box {
    Kind kind = 1;
    double score = 2;
    map<string, int32> pixels = 3;
  }

  repeated Box boxes = 1;
  string note = 2;
}
"""
VISION = {
    "api/vision/detect.proto": VISION_PROTO,
    "api/vision/types.md": "Not a .proto.\n",
    "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
    '[project]\nname = "vision"\nversion = "3.1"\ndependencies = ["grpcio"]\n',
    "LICENSE": "Mine.\n",
    "src/vision/__init__.py": '"""Vision."""\n',
    "src/vision/stubs/__init__.py": "",
    "src/vision/service.py": """\
import asyncio
import sys

import grpc
from grpc import aio

from vision.stubs import detect_pb2 as pb
from vision.stubs.detect_pb2_grpc import DetectorServicer as Base
from vision.stubs.detect_pb2_grpc import add_DetectorServicer_to_server

SCORES = {pb.CAT: 0.5, pb.DOG: 0.75}


def boxes(request):
    least = request.threshold if request.HasField("threshold") else 0.6
    for kind in request.wanted or SCORES:
        if kind in SCORES and SCORES[kind] >= least:
            yield pb.DetectReply.Box(kind=kind, score=SCORES[kind], pixels={"n": len(request.image)})


class Detector(Base):
    async def detect(self, request, context):
        reply = pb.DetectReply(note=request.WhichOneof("source") or "")
        reply.boxes.extend(boxes(request))
        return reply

    async def Watch(self, request, context):
        for box in boxes(request):
            await context.write(pb.DetectReply(boxes=[box]))


async def main():
    server = aio.server()
    add_DetectorServicer_to_server(Detector(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
""",
    "src/vision/client.py": """\
import sys

import grpc

from vision.stubs import detect_pb2 as pb
from vision.stubs.detect_pb2_grpc import DetectorStub

REQUESTS = [
    pb.DetectRequest(),
    pb.DetectRequest(image=b"12345", threshold=0.0),
    pb.DetectRequest(threshold=0.5, wanted=[pb.UNKNOWN, pb.DOG], camera=""),
    pb.DetectRequest(frame=7, wanted=[pb.CAT], threshold=float("nan")),
]

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.enable_http_proxy", 0)]) as channel:
    stub = DetectorStub(channel)
    for request in REQUESTS:
        print(stub.detect(request, wait_for_ready=True, timeout=30))
        print(*stub.Watch(request, timeout=30))
""",
}
VISION_MODEL = '''\
"""Finds things."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from {package}.contract import DescribeRequest, DetectReply, DetectReplyBox, DetectRequest, Kind

ARTIFACT = Path("artifacts/model.npz")
SCORES = {{Kind.CAT: 0.5, Kind.DOG: 0.75}}


def boxes(request: DetectRequest) -> Iterator[DetectReplyBox]:
    least = 0.6 if request.threshold is None else request.threshold
    for kind in request.wanted or SCORES:
        if kind in SCORES and SCORES[kind] >= least:
            yield DetectReplyBox(kind=kind, score=SCORES[kind], pixels={{"n": len(request.image)}})


class Model:
    def __init__(self, artifact: Path) -> None:
        pass

    def detect(self, batch: Sequence[DetectRequest]) -> Sequence[DetectReply]:
        return [DetectReply(note=source(request), boxes=list(boxes(request))) for request in batch]

    def watch(self, request: DetectRequest) -> Iterator[DetectReply]:
        for box in boxes(request):
            yield DetectReply(boxes=[box])

    def describe(self, batch: Sequence[DescribeRequest]) -> Sequence[DetectReply]:
        return [DetectReply() for _ in batch]


def source(request: DetectRequest) -> str:
    if request.camera is not None:
        return "camera"
    return "frame" if request.frame is not None else ""
'''


@dataclass(frozen=True)
class HandMade:
    """A project of that name; `stubs` says where protoc put its output, and from which root."""

    name: str
    files: dict[str, str]
    root: str
    proto: str
    out: str
    server: tuple[str, ...]
    client: tuple[str, ...]
    model: str

    def write(self, folder: Path) -> Path:
        """The project in `folder`, with its stubs, committed."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        outs = [f"--{kind}_out={folder / self.out}" for kind in ("python", "grpc_python")]
        run([sys.executable, "-m", "grpc_tools.protoc", f"-I{folder / self.root}", *outs, self.proto], cwd=folder)
        for path in (folder / self.out).glob("*_pb2_grpc.py"):  # as everybody mends what protoc writes
            if self.out.startswith("src/"):
                package = self.out.removeprefix("src/").replace("/", ".")
                text = path.read_text(encoding="utf-8").replace(
                    "import detect_pb2", f"from {package} import detect_pb2"
                )
                path.write_text(text, encoding="utf-8")
        git(folder, "init", "--quiet", "--initial-branch=main")
        commit(folder, "as it was made")
        return folder


HAND_MADE = (
    HandMade("greeter", GREETER, "protos", "greeter.proto", ".", ("server.py",), ("client.py",), GREETER_MODEL),
    HandMade(
        "vision", VISION, "api/vision", "detect.proto", "src/vision/stubs",
        ("-m", "vision.service"), ("-m", "vision.client"), VISION_MODEL,
    ),
)  # fmt: skip
