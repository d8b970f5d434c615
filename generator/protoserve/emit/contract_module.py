"""The contract as a Python module: typed messages, checked when they are read and when they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from protoserve.emit import column_code, field_code, field_docs, imported_stubs, limit_code, samples
from protoserve.emit.proto import HEADER, header, module_of
from protoserve.emit.python_templates import render
from protoserve.schema import reserved_names, well_known_types
from protoserve.schema.model import Contract, Enum, Field, Message
from protoserve.wire import packed, value_type

_RUNTIME = Path(__file__).parents[1] / "runtime"


def shared_modules(contracts: Sequence[Contract], package: str) -> Iterator[tuple[str, str]]:
    """Name and text of the modules that the contract modules of a project share."""
    names = ["arrays", "bounds", "counting", "encoding", "methods", "parsing", "reading", "violations", "writing"]
    if any(_column_runs(contract) for contract in contracts):
        names.append("columns")
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
    requests = {method.request.name: method.request for method in contract.served_methods}
    nesting = _Nesting(contract)
    column_runs = _column_runs(contract)
    known: dict[str, int | None] = {}  # of the largest messages
    return render(
        "contract",
        contract=contract,
        about=(
            f"The messages of {contract.package or contract.service} as Python types, checked when they are decoded "
            f"and encoded.\n\n{header(contract)}"
        ),
        well_known_files=sorted(map(str, well_known)),
        own_module=module_of(contract),
        uses_own_module=any(
            not message.file and message.in_proto not in well_known_types.FILES for message in contract.all_messages()
        ),
        imported_modules=_imported_modules(contract, package),
        parents=_parent_packages(contract) if _is_foreign(contract, package) else [],
        patterns=limit_code.patterns(contract),
        messages=[_message_code(contract, message, nesting, column_runs) for message in contract.all_messages()],
        requests_and_responses=[
            _message_code(contract, message, nesting, column_runs) for message in _requests_and_responses(contract)
        ],
        request_names=set(requests),
        samples={name: samples.PythonCode(contract).message(request) for name, request in requests.items()},
        describe_enum=field_docs.of_enum,
        describe_value=field_docs.of_value,
        describe_method=field_docs.of_method,
        max_bytes=partial(limit_code.largest, contract, known=known),
        stub=partial(_stub, contract),
        max_items=_max_items(contract),
        arrays=_arrays(contract),
    )


@dataclass(frozen=True, slots=True)
class FieldCode:
    """A field of a dataclass. `default` is None without one, `doc` is empty without one."""

    name: str
    annotation: str
    default: str | None
    doc: str


@dataclass(frozen=True, slots=True)
class MessageCode:
    """A message as the template needs it.

    `stub` is protoc's class, `has_sizes` says that named dimensions vary, `has_large_fields` that some can be large.
    `serialized` is the expression for the bytes of `value`. `is_typed` is false where the stub is of a library without
    type information. `hides_types` says that what stands in the stub's class has the name of a type that is used there,
    which mypy then takes for another. `columns` are the constants for numbers that are read together, with their code;
    `read_values` is what the reader passes for the fields, in their order.
    """

    name: str
    stub: str
    doc: str
    fields: list[FieldCode]
    oneofs: dict[str, tuple[Field, ...]]
    has_arrays: bool
    has_sizes: bool
    has_large_fields: bool
    serialized: str
    is_typed: bool
    hides_types: bool
    read_lines: list[str]
    write_lines: list[str]
    columns: dict[str, column_code.ColumnsCode]
    read_values: list[str]


class _Nesting:
    """What is in which message: looked up for each of thousands, so it is determined once."""

    def __init__(self, contract: Contract) -> None:
        self._kinds: dict[tuple[str, str], list[Enum | Message]] = {}  # by the file and name of what is around them
        kinds: list[Enum | Message] = [*contract.enums, *contract.all_messages()]
        for kind in kinds:
            self._kinds.setdefault((kind.file, kind.in_proto.rpartition(".")[0]), []).append(kind)
        self.with_arrays = _with_arrays(contract)

    def kinds_in(self, message: Message) -> list[Enum | Message]:
        """The types that are declared in the message, enums first."""
        return self._kinds.get((message.file, message.in_proto), [])


def _with_arrays(contract: Contract) -> set[str]:
    """The messages that hold an array, however deep: they have no `==`, which numpy answers element by element."""
    holders: dict[str, list[str]] = {}  # the messages with a field of a type
    left = []
    for message in contract.all_messages():
        for field in message.fields:
            holders.setdefault(field.type, []).append(message.name)
        if any(field.shape is not None for field in message.fields):
            left.append(message.name)
    names: set[str] = set()
    while left:
        name = left.pop()
        if name not in names:
            names.add(name)
            left += holders.get(name, ())
    return names


def _column_runs(contract: Contract) -> dict[tuple[str, str], str]:
    """The constants that hold runs of columns, by the message and the first field of each."""
    runs = [
        (message.name, run.fields[0].name)
        for message in contract.all_messages()
        for run in column_code.runs(contract, message.fields)
        if run.together
    ]
    return {run: f"_COLUMNS_{number}" for number, run in enumerate(runs, 1)}


def _message_code(
    contract: Contract, message: Message, nesting: _Nesting, column_runs: dict[tuple[str, str], str]
) -> MessageCode:
    fields = message.fields
    columns: dict[str, column_code.ColumnsCode] = {}
    read_lines: list[str] = []
    write_lines: list[str] = []
    read_values: list[str] = []
    for run in column_code.runs(contract, fields):
        first = run.fields[0]
        if run.together:
            constant = column_runs[message.name, first.name]
            columns[constant] = column_code.columns(contract, run)
            read_lines.append(f"{constant.lower()[1:]} = {constant}.read(message, prefix, bad)")
            write_lines.append(f"{constant}.write(message, value, prefix)")
            read_values.append(f"*{constant.lower()[1:]}")
        else:
            read_lines += field_code.read(contract, message, first)
            write_lines += field_code.write(contract, message, first)
            read_values.append(field_code.value(contract, message, first))
    return MessageCode(
        name=message.name,
        stub=_stub(contract, message),
        doc=field_docs.of_message(contract, message),
        fields=[_field_code(contract, message, field) for field in fields],
        oneofs=message.oneofs,
        has_arrays=message.name in nesting.with_arrays,
        has_sizes=any(field.dynamic for field in fields),
        has_large_fields=any(map(field_code.can_be_large, fields)),
        serialized=field_code.call(
            message, f'write_{reserved_names.snake(message.name)}(value, "")', "SerializeToString"
        ),
        is_typed=message.file not in imported_stubs.LIBRARY_FILES,
        hides_types=_hides_types(contract, message, nesting),
        read_lines=read_lines,
        write_lines=write_lines,
        columns=columns,
        read_values=read_values,
    )


def _hides_types(contract: Contract, message: Message, nesting: _Nesting) -> bool:
    """Whether what stands in the message's class has the name of a type at the top that one of the fields is of."""
    kinds = [contract.message(field.type) or contract.enum(field.type) for field in message.fields]
    types = {reserved_names.stub(kind.in_proto).partition(".")[0] for kind in kinds if kind is not None}
    inner = nesting.kinds_in(message)
    names = [field.name for field in message.fields]
    names += [value.name for kind in inner if isinstance(kind, Enum) for value in kind.values]
    names += [kind.in_proto.rpartition(".")[2] for kind in inner]
    return any(reserved_names.stub(name) in types for name in names)


def _field_code(contract: Contract, message: Message, field: Field) -> FieldCode:
    return FieldCode(
        name=field.attribute,
        annotation=field_code.annotation(contract, field),
        default=field_code.default(contract, field),
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
    """The messages that served methods take or return, once each."""
    messages = [message for method in contract.served_methods for message in (method.request, method.response)]
    return list({message.name: message for message in messages}.values())


def _in_requests(contract: Contract) -> list[Message]:
    """The messages that requests consist of, each once, those of served methods first."""
    messages = {method.request.name: method.request for method in contract.served_methods}
    left = list(messages.values())
    for message in left:
        for field in message.fields:
            inner = contract.message(field.type)
            if inner is not None and inner.name not in messages:
                messages[inner.name] = inner
                left.append(inner)
    return left


def _max_items(contract: Contract) -> list[tuple[str, str, int]]:
    """The lists and maps in requests that have a maximum: stub, field, and the most items."""
    return [
        (_stub(contract, message), field.name, field.max_items)
        for message in _in_requests(contract)
        for field in message.fields
        if field.max_items is not None and (field.repeated or field.is_map)
    ]


def _arrays(contract: Contract) -> list[tuple[str, str]]:
    """The fields in requests with the elements of arrays: stub and field, each once."""
    arrays = [
        (f"pb.{value_type(field)}", "values") if field.dynamic else (_stub(contract, message), field.name)
        for message in _in_requests(contract)
        for field in message.fields
        if field.dynamic or packed(field)
    ]
    return list(dict.fromkeys(arrays))


def _imported_modules(contract: Contract, package: str) -> list[tuple[str, str, str]]:
    """The modules of imported files: package, name, and what the contract calls it."""
    modules = []
    for path, alias in _aliases(contract).items():
        parent, _, name = imported_stubs.module(path, package).rpartition(".")
        modules.append((parent, name, alias))
    return modules


def _aliases(contract: Contract) -> dict[str, str]:
    """What the contract calls the module of each imported file, by the file's path."""
    aliases: dict[str, str] = {}
    for file in contract.imports:
        alias = imported_stubs.protoc_module(file.path).replace(".", "_").lower()
        while alias in aliases.values():
            alias = f"other_{alias}"
        aliases[file.path] = f"_{alias}" if alias[0].isdigit() else alias
    return aliases


def _stub(contract: Contract, message: Message) -> str:
    """protoc's class of a message."""
    if message.file:
        return f"{_aliases(contract)[message.file]}.{reserved_names.stub(message.in_proto)}"
    file = well_known_types.FILES.get(message.in_proto)
    if file is not None:
        return f"{file}_pb2.{message.in_proto.rpartition('.')[2]}"
    return f"pb.{reserved_names.stub(message.in_proto)}"
