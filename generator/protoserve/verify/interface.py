"""The contract that a server is held to: its services, methods and messages, from reflection, a .proto or a project."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from protoserve.schema.errors import SchemaError
from protoserve.schema.load import load
from protoserve.schema.model import Contract
from protoserve.verify.address import UsageError

# What servers offer beside their own services.
INFRASTRUCTURE = ("grpc.health.", "grpc.reflection.", "grpc.channelz.", "grpc.admin.", "envoy.")


@dataclass(frozen=True, slots=True)
class Method:
    """One method: `path` is what goes over the wire, `/package.Service/Method`."""

    service: str
    name: str
    input: Descriptor
    output: Descriptor
    takes_stream: bool
    gives_stream: bool

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    def request(self) -> Message:
        return message_factory.GetMessageClass(self.input)()

    def response(self) -> Message:
        return message_factory.GetMessageClass(self.output)()


@dataclass(frozen=True, slots=True)
class Interface:
    """What the methods are, and who says so (`source`: "reflection", or a path).

    `contracts` are the schemas of a protoserve project, the newest first, which know limits too; of others none.
    """

    source: str
    methods: tuple[Method, ...]
    contracts: tuple[Contract, ...] = ()

    def contract_of(self, method: Method) -> Contract | None:
        """The schema that has the method, None where there is none."""
        return next((found for found in self.contracts if found.full_service == method.service), None)

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of the services."""
        return tuple(dict.fromkeys(method.service for method in self.methods))


def own(services: Iterable[str]) -> list[str]:
    """The services that are not gRPC's own."""
    return [name for name in services if not name.startswith(INFRASTRUCTURE)]


def from_files(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
    services: Iterable[str],
    source: str,
    contracts: tuple[Contract, ...] = (),
) -> Interface:
    """The interface of these services; `files` hold all that they import. Raises UsageError where they do not."""
    pool = descriptor_pool.DescriptorPool()
    methods: list[Method] = []
    try:
        for file in _imports_first(files):
            pool.Add(file)
        for name in services:
            methods += map(_method, pool.FindServiceByName(name).methods)
    except (TypeError, KeyError) as error:
        raise UsageError(f"{source}: the descriptors do not fit together: {error}") from None
    return Interface(source, tuple(methods), contracts)


def from_proto(file: Path, includes: Sequence[Path] = (), contracts: tuple[Contract, ...] = ()) -> Interface:
    """The services of a .proto file, compiled by protoc. Raises UsageError with what protoc says."""
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file" if not file.exists() else f"{file}: this is a folder")
    if missing := [folder for folder in includes if not folder.is_dir()]:
        raise UsageError(f"-I {missing[0]}: there is no such folder")
    found = _compile(file, includes)
    services = [f"{file_.package}.{s.name}".lstrip(".") for file_ in found[-1:] for s in file_.service]
    if not services:
        raise UsageError(f"{file}: it defines no service; name the .proto that does (it may import this one)")
    return from_files(found, services, str(file), contracts)


def from_project(folder: Path) -> Interface:
    """The contract of a protoserve project in all its versions: schemas and the .proto made from each.

    Raises UsageError.
    """
    methods: list[Method] = []
    contracts: list[Contract] = []
    for schema in (folder / "schema.yaml", *sorted((folder / "schemas").glob("*.yaml"), reverse=True)):
        try:
            contracts.append(load(schema))
        except SchemaError as error:
            raise UsageError(str(error)) from None
        file = folder / "proto" / contracts[-1].folder / "prediction.proto"
        if not file.is_file():
            raise UsageError(f"{file}: there is no such file: run `protoserve generate` in the project")
        methods += from_proto(file, [folder / "proto"]).methods
    source = folder / "proto" / contracts[0].folder / "prediction.proto"
    return Interface(str(source), tuple(methods), tuple(contracts))


def well_known(name: str) -> descriptor_pb2.FileDescriptorProto | None:
    """Protobuf's own file of this name (`google/protobuf/timestamp.proto`), None for any other."""
    if not name.startswith("google/protobuf/"):
        return None
    with contextlib.suppress(ImportError):
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        return descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    return None


def _compile(file: Path, includes: Sequence[Path]) -> list[descriptor_pb2.FileDescriptorProto]:
    from grpc_tools import __file__ as tools

    file = file.resolve()
    roots = [folder.resolve() for folder in includes]
    if not any(file.is_relative_to(root) for root in roots):
        roots.append(_root(file))
    roots.append(Path(tools).parent / "_proto")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{root}" for root in roots)]
        command += ["--include_imports", f"--descriptor_set_out={out}", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        except subprocess.TimeoutExpired:
            raise UsageError(f"{file}: protoc did not end within 30 seconds") from None
        if done.returncode:
            hint = "" if includes else "\nname the folder that its imports start from: -I FOLDER"
            raise UsageError(f"{file}: protoc refuses it:\n{done.stderr.strip()}{hint}")
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return list(found.file)


def _root(file: Path) -> Path:
    """Where its imports start if nobody says so: its own folder, or the one above it that its package stands for."""
    own = file.parent
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.replace(";", " ").split()
        if words[:1] == ["package"] and len(words) > 1:
            parts = words[1].split(".")
            if list(own.parts[-len(parts) :]) == parts:
                return own.parents[len(parts) - 1]
    return own


def _imports_first(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
) -> Iterable[descriptor_pb2.FileDescriptorProto]:
    waiting, given = {file.name: file for file in files}, set[str]()

    def give(name: str) -> Iterable[descriptor_pb2.FileDescriptorProto]:
        if name in waiting and name not in given:
            given.add(name)
            for imported in waiting[name].dependency:
                yield from give(imported)
            yield waiting[name]

    for name in list(waiting):
        yield from give(name)


def _method(found: MethodDescriptor) -> Method:
    service: ServiceDescriptor = found.containing_service
    return Method(
        service.full_name,
        found.name,
        found.input_type,
        found.output_type,
        takes_stream=bool(found.client_streaming),
        gives_stream=bool(found.server_streaming),
    )
