"""How each server is asked for the probabilities of a row, over gRPC or HTTP, and what its answer means."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_tools import protoc

Row = Sequence[float]
COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
CALL_SECONDS = 30.0


class Client(Protocol):
    """A connection to a server, used by one thread at a time. Whatever goes wrong is an exception."""

    def probabilities(self, row: Row) -> list[float]: ...

    def check_health(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Grpc:
    """A method with its messages, and the method that says whether the server is healthy, if it has one."""

    path: str
    encode: Callable[[Row], bytes]
    decode: Callable[[bytes], list[float]]
    health_path: str = ""
    is_healthy: Callable[[bytes], bool] = bool

    name = "grpc"
    h2load_options = ("--header=content-type: application/grpc", "--header=te: trailers")
    # How many connections have how many calls each, for so many in flight.
    connections: ClassVar = {1: (1, 1), 16: (2, 8), 64: (4, 16)}

    def body(self, row: Row) -> bytes:
        """The body of a request: a message with its prefix."""
        message = self.encode(row)
        return b"\0" + struct.pack(">I", len(message)) + message

    def connect(self, port: int) -> GrpcClient:
        """A client with a connection of its own."""
        return GrpcClient(self, port)


@dataclass(frozen=True)
class Http:
    """A path that takes and gives JSON, and the path that says whether the server is healthy."""

    path: str
    encode: Callable[[Row], Any]
    decode: Callable[[Any], list[float]]
    health_path: str

    name = "http"
    h2load_options = ("--h1", "--header=content-type: application/json")
    connections: ClassVar = {1: (1, 1), 16: (16, 1), 64: (64, 1)}

    def body(self, row: Row) -> bytes:
        """The body of a request."""
        return json.dumps(self.encode(row)).encode()

    def connect(self, port: int) -> HttpClient:
        """A client with a connection of its own."""
        return HttpClient(self, port)


class GrpcClient:
    """A channel that shares its connection with no other."""

    def __init__(self, protocol: Grpc, port: int) -> None:
        self._protocol = protocol
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        self._predict = self._channel.unary_unary(protocol.path)
        self._health = self._channel.unary_unary(protocol.health_path or "/")

    def probabilities(self, row: Row) -> list[float]:
        """What the server answers."""
        return self._protocol.decode(self._predict(self._protocol.encode(row), timeout=CALL_SECONDS))

    def check_health(self) -> None:
        """Raises RuntimeError if the server says that it is not healthy; its request is an empty message."""
        if not self._protocol.is_healthy(self._health(b"", timeout=CALL_SECONDS)):
            raise RuntimeError("the server says that it is not healthy")

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


class HttpClient:
    """A connection that is kept open."""

    def __init__(self, protocol: Http, port: int) -> None:
        self._protocol = protocol
        self._connection = HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS)

    def probabilities(self, row: Row) -> list[float]:
        """What the server answers."""
        headers = {"content-type": "application/json"}
        self._connection.request("POST", self._protocol.path, self._protocol.body(row), headers)
        return self._protocol.decode(json.loads(self._read()))

    def check_health(self) -> None:
        """Raises RuntimeError if the status is not one of success."""
        self._connection.request("GET", self._protocol.health_path)
        self._read()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _read(self) -> bytes:
        response = self._connection.getresponse()
        body = response.read()
        if response.status // 100 != 2:
            raise RuntimeError(f"HTTP status {response.status}: {body[:300].decode(errors='replace')}")
        return body


def own_grpc(stubs: ModuleType) -> Grpc:
    """The contract of the default project; `stubs` is its module of messages."""
    serving = health_pb2.HealthCheckResponse.SERVING
    return Grpc(
        "/iris.v1.PredictionService/Predict",
        lambda row: bytes(stubs.PredictRequest(**dict(zip(COLUMNS, row, strict=True))).SerializeToString()),
        lambda reply: list(stubs.PredictResponse.FromString(reply).probabilities),
        "/grpc.health.v1.Health/Check",
        lambda reply: bool(health_pb2.HealthCheckResponse.FromString(reply).status == serving),
    )


def open_inference_grpc(name: str) -> Grpc:
    """Version 2 of the inference protocol, with numbers as raw bytes, which all three servers read fastest."""

    def encode(row: Row) -> bytes:
        request = _inference("ModelInferRequest")(model_name="iris", raw_input_contents=[struct.pack("<4d", *row)])
        request.inputs.add(name=name, datatype="FP64", shape=[1, len(row)])
        return bytes(request.SerializeToString())

    def decode(data: bytes) -> list[float]:
        reply = _inference("ModelInferResponse").FromString(data)
        (output,) = reply.outputs
        if not reply.raw_output_contents:
            return list(output.contents.fp64_contents or output.contents.fp32_contents)
        raw = reply.raw_output_contents[0]
        form = {"FP64": "d", "FP32": "f"}[output.datatype]
        return list(struct.unpack(f"<{len(raw) // struct.calcsize(form)}{form}", raw))

    def is_live(data: bytes) -> bool:
        return bool(_inference("ServerLiveResponse").FromString(data).live)

    path = "/inference.GRPCInferenceService/"
    return Grpc(f"{path}ModelInfer", encode, decode, f"{path}ServerLive", is_live)


def open_inference_http(name: str) -> Http:
    """Version 2 of the inference protocol as JSON."""

    def encode(row: Row) -> Any:
        return {"inputs": [{"name": name, "datatype": "FP64", "shape": [1, len(row)], "data": list(row)}]}

    return Http("/v2/models/iris/infer", encode, lambda reply: list(reply["outputs"][0]["data"]), "/v2/health/live")


OWN_HTTP = Http(
    "/predict",
    lambda row: {"instances": [dict(zip(COLUMNS, row, strict=True))]},
    lambda reply: list(reply["predictions"][0]["probabilities"]),
    "/health",
)
KSERVE_HTTP = Http(
    "/v1/models/iris:predict",
    lambda row: {"instances": [list(row)]},
    lambda reply: list(reply["predictions"][0]),
    "/v2/health/live",
)
LITSERVE_HTTP = Http("/predict", lambda row: {"row": list(row)}, lambda reply: list(reply["probabilities"]), "/health")
BENTOML_HTTP = Http("/predict", lambda row: {"rows": [list(row)]}, lambda reply: list(reply[0]), "/livez")


@cache
def _inference(name: str) -> Any:
    """The class of a message of `inference.proto`."""
    folder = Path(__file__).resolve().parent / "peer_servers"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        command = ["protoc", f"-I{folder}", f"--descriptor_set_out={descriptors.name}", "inference.proto"]
        if protoc.main(command) != 0:
            raise RuntimeError(f"{' '.join(command)} failed")
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(descriptors.name).read_bytes())
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
