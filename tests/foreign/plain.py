"""What a plain client of a .proto can send: messages with anything in them that protobuf holds.

Run as a program, with a .proto and a port, it calls every method of the service with stubs that protoc makes of that
very file, in a process that knows nothing of protoserve.
"""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as Kind

_INTEGERS = {
    Kind.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Kind.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Kind.CPPTYPE_UINT32: (0, 2**32 - 1),
    Kind.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def compiled(path: Path, folder: Path, *outs: str, root: Path | None = None) -> bytes:
    """The descriptor set of a .proto with what it imports, and protoc's output for `outs`.

    Paths count from `root`, by default the folder of the file.
    """
    import grpc_tools

    packages = Path(grpc_tools.__file__).parents[1]
    root = root or path.parent
    folders = (root, root.parent / "elsewhere", packages, packages / "grpc_tools" / "_proto")
    command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{include}" for include in folders)]
    set_flags = ["--include_imports", f"--descriptor_set_out={folder / 'set'}"]
    subprocess.run([*command, *set_flags, path.relative_to(root).as_posix()], check=True)
    data = (folder / "set").read_bytes()
    names = [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(data).file]
    if outs:
        own = [name for name in names if not name.startswith("google/")]
        subprocess.run([*command, *(f"--{kind}_out={folder}" for kind in outs), *own], check=True)
    return data


def messages(data: bytes) -> dict[str, Any]:
    """The classes of a descriptor set by full name, in a pool of their own; methods of its services under `methods`."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(data).file
    for file in files:
        pool.Add(file)
    (service,) = pool.FindFileByName(files[-1].name).services_by_name.values()
    return {
        method.name: tuple(message_factory.GetMessageClass(side) for side in (method.input_type, method.output_type))
        for method in service.methods
    }


def filled(message: Any, rng: random.Random, depth: int = 0) -> Any:
    """The message with each of its fields set, by a throw of the dice, to anything that the field can hold."""
    name = message.DESCRIPTOR.full_name
    if name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        message.seconds = rng.choice([0, 1, 10**9])
        message.nanos = rng.choice([0, 1000, 999_999_000])
    elif name == "google.protobuf.Value":
        message.CopyFrom(_value(message, rng))
    else:
        for field in message.DESCRIPTOR.fields:
            if rng.random() < 0.7:
                _set(message, field, rng, depth)
    return message


def _value(message: Any, rng: random.Random) -> Any:
    value = type(message)()
    kind = rng.choice(["null_value", "number_value", "string_value", "bool_value", "list_value"])
    if kind == "list_value":
        value.list_value.values.add().number_value = 1.5
    else:
        setattr(value, kind, {"null_value": 0, "number_value": -2.5, "string_value": "å", "bool_value": False}[kind])
    return value


def _set(message: Any, field: Any, rng: random.Random, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entries = getattr(message, field.name)
        key, value = field.message_type.fields
        for _ in range(rng.randrange(3)):
            if value.message_type is not None:
                if depth < 4:
                    filled(entries[_scalar(key, rng)], rng, depth + 1)
            else:
                entries[_scalar(key, rng)] = _scalar(value, rng)
    elif field.message_type is not None:
        if depth >= 4:
            return
        if field.is_repeated:
            for _ in range(rng.randrange(3)):
                filled(getattr(message, field.name).add(), rng, depth + 1)
        else:
            getattr(message, field.name).SetInParent()
            filled(getattr(message, field.name), rng, depth + 1)
    elif field.is_repeated:
        getattr(message, field.name).extend(_scalar(field, rng) for _ in range(rng.randrange(4)))
    else:
        setattr(message, field.name, _scalar(field, rng))


def _scalar(field: Any, rng: random.Random) -> Any:
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).number
    if field.cpp_type in _INTEGERS:
        low, high = _INTEGERS[field.cpp_type]
        return rng.choice([0, 1, low, high])
    if field.cpp_type == Kind.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type == Kind.CPPTYPE_DOUBLE:
        return rng.choice([0.0, -0.0, 1e300, float("nan"), float("inf"), -1.25])
    if field.cpp_type == Kind.CPPTYPE_FLOAT:
        return rng.choice([0.0, -0.0, 0.5, float("nan"), float("-inf")])
    return rng.choice([b"", b"\0\xff"] if field.type == Kind.TYPE_BYTES else ["", "å\n", "x" * 300])


def main(proto: Path, port: str) -> None:
    """Calls every method with an empty message and with filled ones; fails with the first error."""
    import grpc

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compiled(proto, folder, "python", "grpc_python")
        sys.path.insert(0, str(folder))
        stubs = importlib.import_module(f"{proto.stem}_pb2_grpc")
        module = importlib.import_module(f"{proto.stem}_pb2")
    (service,) = module.DESCRIPTOR.services_by_name.values()
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        stub = getattr(stubs, f"{service.name}Stub")(channel)
        for method in service.methods:
            kind = message_factory.GetMessageClass(method.input_type)
            reply_kind = message_factory.GetMessageClass(method.output_type)
            requests = [kind(), *(filled(kind(), random.Random(seed)) for seed in range(20))]
            for request in requests:
                answer = getattr(stub, method.name)(request, timeout=60)
                replies = list(answer) if method.server_streaming else [answer]
                assert all(isinstance(reply, reply_kind) for reply in replies), method.name
            print(method.name, len(requests))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
