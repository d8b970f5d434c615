"""The contract as a Python module: typed messages, read with checks, written with checks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from protoserve.emit import descriptions, field_code, limit_code, samples
from protoserve.emit.formatting import LINE_LENGTH
from protoserve.emit.proto import HEADER, header
from protoserve.schema import reserved_names, well_known_types
from protoserve.schema.model import Contract, Enum, Message
from protoserve.schema.types import Kind

_RUNTIME = Path(__file__).parents[1] / "runtime"


def shared_modules(contracts: Sequence[Contract], package: str) -> Iterator[tuple[str, str]]:
    """Name and text of the modules that the contract modules of a project share."""
    names = ["arrays", "bounds", "methods", "reading", "violations", "writing"]
    if len(contracts) > 1:
        names.append("steps")
    if any(_is_foreign(contract, package) for contract in contracts):
        names.append("stub_packages")
    for name in names:
        yield f"{name}.py", (_RUNTIME / f"{name}.py").read_text(encoding="utf-8")


def _is_foreign(contract: Contract, package: str) -> bool:
    """Whether the stubs lie outside of the project's own package."""
    return contract.folder.split("/")[0] != package


def package_init(contract: Contract) -> str:
    """`PACKAGE/contract/__init__.py`: everything that the author and the server need, under one name."""
    exported = {"METHODS", "SERVICE", "ModelInterface"}
    exported |= {message.name for message in contract.all_messages()} | {enum.name for enum in contract.enums}
    for message in _top_level(contract):
        exported |= {f"{verb}_{reserved_names.snake(message.name)}" for verb in ("decode", "encode")}
    shared = ("InvalidReply", "InvalidRequest", "Json", "Method", "Retired", "Violation")
    listed = sorted(exported | set(shared))
    return "\n".join(
        [
            f'"""The contract of {contract.package or contract.service}, typed.\n\n{HEADER}\n"""\n',
            "from .methods import Method",
            "from .reading import Json",
            "from .violations import InvalidReply, InvalidRequest, Retired, Violation",
            f"from .{contract.version} import {', '.join(sorted(exported))}\n",
            f"__all__ = [{', '.join(repr(name) for name in listed)}]\n",
        ]
    )


def render(contract: Contract, package: str) -> str:
    """`PACKAGE/contract/VERSION.py`; not yet formatted."""
    return "\n".join(_module(contract, package)) + "\n"


def _top_level(contract: Contract) -> list[Message]:
    """The messages that methods take or give, once each."""
    found = [message for method in contract.methods for message in (method.request, method.response)]
    return list({message.name: message for message in found}.values())


def _module(contract: Contract, package: str) -> Iterator[str]:
    about = contract.package or contract.service
    yield f'"""The messages of {about} as Python sees them: typed, checked on the way in and on the way out.'
    yield f'\n{header(contract)}\n"""\n'
    yield "from __future__ import annotations\n"
    yield from _imports(contract, package)
    yield ""
    yield f'SERVICE = "{contract.full_service}"\n'
    for name, pattern in limit_code.patterns(contract).items():
        yield f"{name} = re2.compile({pattern!r})"
    for enum in contract.enums:
        yield from _enum(enum)
    for message in contract.all_messages():
        yield from _dataclass(contract, message)
    yield from _interface(contract)
    for message in contract.all_messages():
        yield from _reader(contract, message)
        yield from _writer(contract, message)
    for message in _top_level(contract):
        yield from _codec(message)
    yield from _methods(contract)


def _imports(contract: Contract, package: str) -> Iterator[str]:
    items = [field for message in contract.all_messages() for field in message.fields]
    arrays = any(field.shape is not None for field in items)
    yield "import math"  # what a contract does not need, the formatter takes out again
    streams = "Iterator, " if any(method.streaming for method in contract.methods) else ""
    unary = "Sequence" if not all(method.streaming for method in contract.methods) else ""
    yield f"from collections.abc import {(streams + unary).strip(', ')}"
    many = any(field.repeated or field.is_map for field in items)
    yield "from dataclasses import dataclass" + (", field as _field" if many else "")
    if contract.uses(Kind.TIMESTAMP) or contract.uses(Kind.DURATION):
        yield "from datetime import UTC, datetime, timedelta"
    if contract.enums:
        yield "from enum import IntEnum"
    yield "from typing import Any, Protocol\n" if arrays else "from typing import Protocol\n"
    files = sorted({well_known_types.FILES.get(message.in_proto, "") for message in contract.all_messages()} - {""})
    if files:
        yield f"from google.protobuf import {', '.join(f'{file}_pb2' for file in files)}"
    if arrays:
        yield "import numpy as np"
    if limit_code.patterns(contract):
        yield "import re2"
    if arrays:
        yield "from numpy.typing import NDArray\n"
    yield "from . import methods, reading, stub_packages, violations, writing\nfrom .reading import Json\n"
    folders = contract.folder.split("/")
    if not _is_foreign(contract, package):
        yield f"from {contract.module} import prediction_pb2 as pb\n"
        return
    # Above the stubs' own folder, or that where nothing is above it.
    parents = [".".join(folders[: index + 1]) for index in range(max(len(folders) - 1, 1))]
    yield f"stub_packages.join_packages({', '.join(repr(name) for name in parents)})"
    yield f"from {contract.module} import prediction_pb2 as pb  # noqa: E402\n"


def _enum(enum: Enum) -> Iterator[str]:
    yield f"\nclass {enum.name}(IntEnum):"
    yield f"    {_docstring(descriptions.summary(enum.doc, f'The values of {enum.name}'))}\n"
    for value in enum.values:
        yield f"    {value.name.upper()} = {value.number}"
        if value.doc:
            yield f"    {_docstring(descriptions.summary(value.doc, value.name))}"


def _docstring(text: str) -> str:
    """A docstring for a body that is indented once, on several lines where one does not hold it."""
    body = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(body) <= LINE_LENGTH - 10 and "\n" not in body:
        return f'"""{body}"""'
    lines = f'"""{body}'.splitlines()
    paragraphs = [textwrap.fill(line, LINE_LENGTH - 4, break_long_words=False) for line in lines]
    return f'{textwrap.indent(chr(10).join(paragraphs), "    ").strip()}\n    """'


def _dataclass(contract: Contract, message: Message) -> Iterator[str]:
    eq = "" if not _has_arrays(contract, message, set()) else ", eq=False"
    yield f"\n@dataclass(slots=True, kw_only=True{eq})"
    yield f"class {message.name}:"
    yield f"    {_docstring(descriptions.of_message(contract, message))}\n"
    for field in message.fields:
        default = field_code.default(contract, field)
        yield f"    {field.name}: {field_code.annotation(contract, field)}{'' if default is None else f' = {default}'}"
        yield f"    {_docstring(' '.join(descriptions.paragraph(field)))}"


def _has_arrays(contract: Contract, message: Message, seen: set[str]) -> bool:
    """Arrays have no single truth of equality, so a message that holds one, however deep, gets no `==`."""
    seen.add(message.name)
    for field in message.fields:
        if field.shape is not None:
            return True
        inner = contract.message(field.type)
        if inner is not None and inner.name not in seen and _has_arrays(contract, inner, seen):
            return True
    return False


def _interface(contract: Contract) -> Iterator[str]:
    yield "\nclass ModelInterface(Protocol):"
    yield '    """What the server calls: one method a method of the service."""\n'
    for method in contract.methods:
        request, response = method.request.name, method.response.name
        if method.streaming:
            yield f"    def {reserved_names.snake(method.name)}(self, request: {request}, /) -> Iterator[{response}]:"
        else:
            name = reserved_names.snake(method.name)
            yield f"    def {name}(self, batch: Sequence[{request}], /) -> Sequence[{response}]:"
        yield f"        {_docstring(descriptions.of_method(method))}"
        yield "        ...\n"


def _stub(message: Message) -> str:
    """protoc's class of a message."""
    file = well_known_types.FILES.get(message.in_proto)
    return f"pb.{message.in_proto}" if file is None else f"{file}_pb2.{message.in_proto.rpartition('.')[2]}"


def _reader(contract: Contract, message: Message) -> Iterator[str]:
    name = reserved_names.snake(message.name)
    yield f"\ndef read_{name}(message: {_stub(message)}, at: str, bad: violations.Violations) -> {message.name}:"
    if any(field.dynamic for field in message.fields):
        yield "    sizes: dict[str, int] = {}"
    for field in message.fields:
        yield from (f"    {line}" for line in field_code.read(contract, message, field))
    for oneof, members in message.oneofs.items():
        if members[0].required:
            listed = ", ".join(member.name for member in members)
            yield f'    reading.read_oneof(message, "{oneof}", "{listed}", at, bad)'
    values = ", ".join(f"{field.name}={field_code.value(contract, message, field)}" for field in message.fields)
    yield f"    return {message.name}({values})"


def _writer(contract: Contract, message: Message) -> Iterator[str]:
    name = reserved_names.snake(message.name)
    yield f"\ndef write_{name}(value: object, at: str) -> {_stub(message)}:"
    yield f"    if not isinstance(value, {message.name}):"
    yield f'        raise violations.InvalidReply(at.rstrip(".") or "reply", "{message.name}", violations.shown(value))'
    if not message.fields:
        yield f"    return {_stub(message)}()"
        return
    yield f"    message = {_stub(message)}()"
    if any(field.dynamic for field in message.fields):
        yield "    sizes: dict[str, int] = {}"
    for oneof, members in message.oneofs.items():
        given = ", ".join(f"{member.name}=value.{member.name}" for member in members)
        yield f'    writing.write_oneof(f"{{at}}{oneof}", {members[0].required}, {given})'
    for field in message.fields:
        yield from (f"    {line}" for line in field_code.write(contract, message, field))
    yield "    return message"


def _codec(message: Message) -> Iterator[str]:
    name = reserved_names.snake(message.name)
    yield f"\ndef decode_{name}(data: bytes) -> {message.name}:"
    yield '    """Raises InvalidRequest with every violation, each under its path."""'
    yield "    bad = violations.Violations()"
    yield f'    value = read_{name}(reading.parse({_stub(message)}, data), "", bad)'
    yield "    bad.raise_if_any()"
    yield "    return value\n"
    yield f"\ndef encode_{name}(value: object) -> bytes:"
    yield '    """Raises InvalidReply at the first field that does not fit."""'
    yield f'    return write_{name}(value, "").SerializeToString()\n'


def _methods(contract: Contract) -> Iterator[str]:
    for method in {method.request.name: method for method in contract.methods}.values():
        yield f"\ndef sample_{reserved_names.snake(method.request.name)}() -> bytes:"
        yield '    """One valid request, as it goes over the wire."""'
        expression = samples.python(contract, method.request)
        yield f"    return encode_{reserved_names.snake(method.request.name)}({expression})\n"
    yield "\nMETHODS = ("
    for method in contract.methods:
        request, response = reserved_names.snake(method.request.name), reserved_names.snake(method.response.name)
        yield "methods.Method("
        yield f'name="{method.name}", version="{contract.version}", attribute="{reserved_names.snake(method.name)}",'
        yield f'path="/{contract.full_service}/{method.name}", streaming={method.streaming},'
        yield f"decode=decode_{request}, encode=encode_{response}, sample=sample_{request},"
        yield f"max_request_bytes={limit_code.largest(contract, method.request)},"
        yield "),"
    yield ")"
