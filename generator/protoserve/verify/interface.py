"""Services, methods and messages that a server should have, from a .proto, a project or the server's reflection."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from google.protobuf import descriptor_database, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from protoserve.emit import proto
from protoserve.platform.reading import read_text
from protoserve.schema import project_schemas
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.model import Contract
from protoserve.verify.address import UsageError

# Services that servers offer beside their own.
INFRASTRUCTURE = ("grpc.health.", "grpc.reflection.", "grpc.channelz.", "grpc.admin.", "envoy.")


@dataclass(frozen=True, slots=True)
class Method:
    """One method; `path` is its name on the wire, `/package.Service/Method`, `file` the .proto that defines it."""

    service: str
    name: str
    input: Descriptor
    output: Descriptor
    takes_stream: bool
    gives_stream: bool
    file: str = ""

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    def request(self) -> Message:
        return message_factory.GetMessageClass(self.input)()

    def response(self) -> Message:
        return message_factory.GetMessageClass(self.output)()


@dataclass(frozen=True, slots=True)
class Interface:
    """The methods, and where they are from (`source`: "reflection", or a path).

    `contracts` holds the schemas of a protoserve project, the newest first, which also have limits; empty for others.
    """

    source: str
    methods: tuple[Method, ...]
    contracts: tuple[Contract, ...] = ()

    def contract_of(self, method: Method) -> Contract | None:
        """The schema that has the method, None if there is none."""
        return next((contract for contract in self.contracts if contract.full_service == method.service), None)

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of the services."""
        return tuple(dict.fromkeys(method.service for method in self.methods))


def own_services(services: Iterable[str]) -> list[str]:
    """The services that are not gRPC's own."""
    return [name for name in services if not name.startswith(INFRASTRUCTURE)]


def from_files(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
    services: Iterable[str],
    source: str,
    contracts: tuple[Contract, ...] = (),
) -> Interface:
    """The interface of these services. Raises UsageError if `files` lack something that they import, or import each
    other.
    """
    files = _acyclic(files, source)
    database = descriptor_database.DescriptorDatabase()
    pool = descriptor_pool.DescriptorPool(database)
    methods: list[Method] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each name that two files have
            for file in files:
                database.Add(file)
        for name in services:
            methods += map(_method, pool.FindServiceByName(name).methods)
    except (TypeError, KeyError) as error:
        raise UsageError(f"{source}: the descriptors do not match: {error}") from None
    return Interface(source, tuple(methods), contracts)


def _acyclic(
    files: Iterable[descriptor_pb2.FileDescriptorProto], source: str
) -> list[descriptor_pb2.FileDescriptorProto]:
    """The files. Raises UsageError if they import each other: protobuf's pool would follow that until it crashes."""
    known = list(files)
    imports = {file.name: [name for name in file.dependency if name] for file in known}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        raise UsageError(f"{source}: the files import each other: {' -> '.join(error.args[1][:10])}") from None
    return known


def from_proto(file: Path, includes: Sequence[Path] = (), contracts: tuple[Contract, ...] = ()) -> Interface:
    """The services of a .proto file, compiled by protoc. Raises UsageError with what protoc says."""
    if not file.is_file():
        raise UsageError(f"{file}: this is a folder" if file.exists() else f"{file}: the file does not exist")
    if missing := [folder for folder in includes if not folder.is_dir()]:
        raise UsageError(f"-I {missing[0]}: the folder does not exist")
    files = _compile(file, includes)
    main = files[-1]
    services = [f"{main.package}.{service.name}".lstrip(".") for service in main.service]
    if not services:
        raise UsageError(f"{file}: it does not define a service; name the .proto that does (it may import this one)")
    return from_files(files, services, str(file), contracts)


def from_project(folder: Path) -> Interface:
    """The contract of a protoserve project in all its versions: the schemas, and the .proto generated from each.

    Methods that a schema does not serve are left out. Raises UsageError.
    """
    methods: list[Method] = []
    contracts: list[Contract] = []
    try:
        texts = project_schemas.read(folder)
    except SchemaError as error:
        raise UsageError(str(error)) from None
    for name in (project_schemas.SCHEMA, *sorted(texts.keys() - {project_schemas.SCHEMA}, reverse=True)):
        try:
            contracts.append(loads(texts[name], str(folder / name)))
        except SchemaError as error:
            raise UsageError(str(error)) from None
        file = folder / "proto" / proto.path_of(contracts[-1])
        if not file.is_file():
            raise UsageError(f"{file}: the file does not exist: run `protoserve generate` in the project")
        names = {method.name for method in contracts[-1].served_methods}
        methods += (method for method in from_proto(file, [folder / "proto"]).methods if method.name in names)
    source = folder / "proto" / proto.path_of(contracts[0])
    return Interface(str(source), tuple(methods), tuple(contracts))


def well_known(name: str) -> descriptor_pb2.FileDescriptorProto | None:
    """Protobuf's own file of this name (`google/protobuf/timestamp.proto`), None for other names."""
    if not name.startswith("google/protobuf/"):
        return None
    with contextlib.suppress(ImportError):
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        return descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    return None


def _compile(file: Path, includes: Sequence[Path]) -> list[descriptor_pb2.FileDescriptorProto]:
    """The file, last, after all that it imports. Raises UsageError."""
    from grpc_tools import __file__ as tools

    file = file.resolve()
    roots = [folder.resolve() for folder in includes]
    if not any(file.is_relative_to(root) for root in roots):
        roots.append(_import_root(file))
    roots.append(Path(tools).parent / "_proto")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{root}" for root in roots)]
        command += ["--include_imports", f"--descriptor_set_out={out}", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        except subprocess.TimeoutExpired:
            raise UsageError(f"{file}: protoc did not finish within 30 seconds") from None
        if done.returncode:
            hint = "" if includes else "\nIf an import is missing, name the folder in which imports start: -I FOLDER"
            raise UsageError(f"{file}: protoc refuses it:\n{done.stderr.strip()}{hint}")
        return list(descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file)


def _import_root(file: Path) -> Path:
    """Where imports start by default: the file's folder, or the folder above that its package starts in."""
    folder = file.parent
    for line in read_text(file, errors="replace").splitlines():
        words = line.replace(";", " ").split()
        if words[:1] == ["package"] and len(words) > 1:
            parts = words[1].split(".")
            if list(folder.parts[-len(parts) :]) == parts:
                return folder.parents[len(parts) - 1]
    return folder


def _method(descriptor: MethodDescriptor) -> Method:
    service: ServiceDescriptor = descriptor.containing_service
    return Method(
        service.full_name,
        descriptor.name,
        descriptor.input_type,
        descriptor.output_type,
        takes_stream=bool(descriptor.client_streaming),
        gives_stream=bool(descriptor.server_streaming),
        file=str(service.file.name),
    )
