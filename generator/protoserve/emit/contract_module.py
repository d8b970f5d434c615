"""The contract as a Python module: typed messages, checked when they are read and when they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from protoserve.emit import field_code, field_docs, limit_code, samples
from protoserve.emit.proto import HEADER, header
from protoserve.emit.python_templates import render
from protoserve.schema import reserved_names, well_known_types
from protoserve.schema.model import Contract, Field, Message

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


def render_package(contract: Contract) -> str:
    """`PACKAGE/contract/__init__.py`: all that the author and the server need of the newest version, under one name."""
    exported = {"METHODS", "SERVICE", "ModelInterface"}
    exported |= {message.name for message in contract.all_messages()} | {enum.name for enum in contract.enums}
    for message in _requests_and_responses(contract):
        exported |= {f"{verb}_{reserved_names.snake(message.name)}" for verb in ("decode", "encode")}
    return render("contract_package", contract=contract, header=HEADER, exported=sorted(exported))


def render_version(contract: Contract, package: str) -> str:
    """`PACKAGE/contract/VERSION.py`; not yet formatted."""
    well_known = {well_known_types.FILES.get(message.in_proto) for message in contract.all_messages()} - {None}
    requests = {method.request.name: method.request for method in contract.methods}
    return render(
        "contract",
        contract=contract,
        about=(
            f"The messages of {contract.package or contract.service} as Python types, checked when they are decoded "
            f"and encoded.\n\n{header(contract)}"
        ),
        well_known_files=sorted(map(str, well_known)),
        parents=_parent_packages(contract) if _is_foreign(contract, package) else [],
        patterns=limit_code.patterns(contract),
        messages=[_message_code(contract, message) for message in contract.all_messages()],
        requests_and_responses=[_message_code(contract, message) for message in _requests_and_responses(contract)],
        request_names=set(requests),
        samples={name: samples.PythonCode(contract).message(request) for name, request in requests.items()},
        describe_enum=field_docs.of_enum,
        describe_value=field_docs.of_value,
        describe_method=field_docs.of_method,
        max_bytes=partial(limit_code.largest, contract),
    )


@dataclass(frozen=True, slots=True)
class FieldCode:
    """A field of a dataclass. `default` is None without one, `doc` is empty without one.

    `value` is what the reader passes for the field.
    """

    name: str
    annotation: str
    default: str | None
    value: str
    doc: str


@dataclass(frozen=True, slots=True)
class MessageCode:
    """A message as the template needs it; `stub` is protoc's class, `has_sizes` says that named dimensions vary."""

    name: str
    stub: str
    doc: str
    fields: list[FieldCode]
    oneofs: dict[str, tuple[Field, ...]]
    has_arrays: bool
    has_sizes: bool
    read_lines: list[str]
    write_lines: list[str]


def _message_code(contract: Contract, message: Message) -> MessageCode:
    fields = message.fields
    return MessageCode(
        name=message.name,
        stub=_stub(message),
        doc=field_docs.of_message(contract, message),
        fields=[_field_code(contract, message, field) for field in fields],
        oneofs=message.oneofs,
        has_arrays=_has_arrays(contract, message, set()),
        has_sizes=any(field.dynamic for field in fields),
        read_lines=[line for field in fields for line in field_code.read(contract, message, field)],
        write_lines=[line for field in fields for line in field_code.write(contract, message, field)],
    )


def _field_code(contract: Contract, message: Message, field: Field) -> FieldCode:
    return FieldCode(
        name=field.name,
        annotation=field_code.annotation(contract, field),
        default=field_code.default(contract, field),
        value=field_code.value(contract, message, field),
        doc=field_docs.docstring(field),
    )


def _is_foreign(contract: Contract, package: str) -> bool:
    """Whether the stubs lie outside of the project's own package."""
    return contract.folder.split("/")[0] != package


def _parent_packages(contract: Contract) -> list[str]:
    """The packages above that of the stubs, outermost first; that itself where nothing is above it."""
    folders = contract.folder.split("/")
    return [".".join(folders[: index + 1]) for index in range(max(len(folders) - 1, 1))]


def _requests_and_responses(contract: Contract) -> list[Message]:
    """The messages that methods take or return, once each."""
    messages = [message for method in contract.methods for message in (method.request, method.response)]
    return list({message.name: message for message in messages}.values())


def _has_arrays(contract: Contract, message: Message, seen: set[str]) -> bool:
    """Whether the message holds an array, however deep: then it has no `==`, which numpy answers element by element."""
    seen.add(message.name)
    for field in message.fields:
        if field.shape is not None:
            return True
        inner = contract.message(field.type)
        if inner is not None and inner.name not in seen and _has_arrays(contract, inner, seen):
            return True
    return False


def _stub(message: Message) -> str:
    """protoc's class of a message."""
    file = well_known_types.FILES.get(message.in_proto)
    return f"pb.{message.in_proto}" if file is None else f"{file}_pb2.{message.in_proto.rpartition('.')[2]}"
