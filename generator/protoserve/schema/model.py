"""The contract as plain data: what the loader builds and the code generators read.

Everything here has been checked already: a `Contract` that exists is sound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from protoserve.schema import reserved_names as names
from protoserve.schema.types import SCALARS, Kind, ScalarType

Dimension = int | str
# What protobuf allows: https://protobuf.dev/programming-guides/proto3/#assigning
MAX_FIELD_NUMBER = 2**29 - 1
MIN_ENUM_NUMBER, MAX_ENUM_NUMBER = -(2**31), 2**31 - 1
# Standard options of protobuf that Python has no use for and a .proto keeps: names, and values as they stand there.
Options = tuple[tuple[str, bool | str], ...]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a schema: 1-based line and column, and the path of keys that leads there."""

    line: int
    column: int
    path: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """Numbers (single ones, and inclusive ranges) and names that must not be used again."""

    ranges: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    `type` names a scalar (a key of `SCALARS`), or as Python does an enum or a message of the contract; for a map it is
    the type of the values and `key` the type of the keys. `number` is 0 until the generator has given one (see
    `protoserve.schema.assign_numbers`). `shape` holds sizes and names of dimensions. Limits that were not given
    are None. `default` and `example` are JSON-like values; for an enum they are a value's name. `renamed_from` is the
    name that the field had in an earlier contract. `implicit` is true where 0 and nothing look the same on the wire.
    `labelled` is true where a field of message type says `optional`, which it need not: it has presence anyway.
    `json_name` is None where it is protoc's own. `python_name` is its attribute in Python where that cannot have the
    name of the .proto.
    """

    name: str
    type: str
    number: int = 0
    doc: str = ""
    key: str | None = None
    repeated: bool = False
    shape: tuple[Dimension, ...] | None = None
    required: bool = True
    oneof: str | None = None
    default: Any = None
    example: Any = None
    minimum: float | int | None = None
    maximum: float | int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    pattern: str | None = None
    allow_nan: bool = False
    media_type: str | None = None
    unit: str | None = None
    source: str | None = None
    deprecated: bool = False
    renamed_from: str | None = None
    implicit: bool = False
    labelled: bool = False
    json_name: str | None = None
    options: Options = ()
    where: Where = Where(0, 0, "")
    python_name: str = ""

    @property
    def attribute(self) -> str:
        """The attribute in Python."""
        return self.python_name or self.name

    @property
    def is_map(self) -> bool:
        return self.key is not None

    @property
    def scalar(self) -> ScalarType | None:
        """The scalar type of the field (of its elements or values), None for an enum or a message."""
        return SCALARS.get(self.type)

    @property
    def dynamic(self) -> bool:
        """True when the shape has a named dimension, so that the size travels with the values."""
        return self.shape is not None and any(isinstance(size, str) for size in self.shape)

    @property
    def size(self) -> int | None:
        """How many elements a static shape has; None without a shape or with a named dimension."""
        if self.shape is None or self.dynamic:
            return None
        return math.prod(int(dimension) for dimension in self.shape)


@dataclass(frozen=True, slots=True)
class Message:
    """A message: `implicit` is the presence that a foreign proto3 message without `optional` has.

    `name` is Python's. `proto_name` is that of the .proto where it is another: `Outer.Inner` for a message in a
    message, and for a foreign one that would break Python's code. `after` is the field of the outer message behind
    which an inner one stands in the .proto; None before all fields. `file` is the path of the imported .proto that
    declares it, empty for the contract's own.
    """

    name: str
    fields: tuple[Field, ...]
    doc: str = ""
    reserved: Reserved = Reserved()
    implicit: bool = False
    proto_name: str = ""
    after: str | None = None
    options: Options = ()
    where: Where = Where(0, 0, "")
    file: str = ""

    @property
    def in_proto(self) -> str:
        """The name in the .proto, from the package on."""
        return self.proto_name or self.name

    @property
    def oneofs(self) -> dict[str, tuple[Field, ...]]:
        """The members of each oneof, in the order of the fields."""
        groups: dict[str, list[Field]] = {}
        for item in self.fields:
            if item.oneof is not None:
                groups.setdefault(item.oneof, []).append(item)
        return {name: tuple(members) for name, members in groups.items()}


@dataclass(frozen=True, slots=True)
class EnumValue:
    name: str
    number: int = 0
    doc: str = ""
    renamed_from: str | None = None
    options: Options = ()
    where: Where = Where(0, 0, "")

    @property
    def attribute(self) -> str:
        """The member of Python's enum."""
        return names.value_attribute(self.name)


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum; 0 is UNSPECIFIED, is on the wire only, and is not among `values`.

    Where it is `exact`, as in a foreign .proto, its values are all that it has, 0 among them, under the very names that
    the .proto has. `name`, `proto_name` and `file` are as in a message.
    """

    name: str
    values: tuple[EnumValue, ...]
    doc: str = ""
    reserved: Reserved = Reserved()
    exact: bool = False
    proto_name: str = ""
    options: Options = ()
    where: Where = Where(0, 0, "")
    file: str = ""

    @property
    def in_proto(self) -> str:
        """The name in the .proto, from the package on."""
        return self.proto_name or self.name

    @property
    def members(self) -> tuple[EnumValue, ...]:
        """The values without other names of the same number: what iterating over Python's enum gives."""
        return tuple({value.number: value for value in reversed(self.values)}.values())[::-1]

    def attribute(self, value: str) -> str:
        """The member of Python's enum for the value of this name."""
        return next(item.attribute for item in self.values if item.name == value)

    def value_in_proto(self, value: str) -> str:
        """The name of a value in the .proto, where all values of one scope share it."""
        return value if self.exact else names.enum_value(self.in_proto.rpartition(".")[2], value)


@dataclass(frozen=True, slots=True)
class Method:
    """One method; `streaming` is true when the reply is a stream of responses, `client_streaming` for requests.

    One that is not `served` is in the .proto only: the server answers it UNIMPLEMENTED, and the model does not have it.
    `options` is None where the method has none, and empty where its .proto says `{}`, which a descriptor shows.
    """

    name: str
    request: Message
    response: Message
    doc: str = ""
    streaming: bool = False
    options: Options | None = None
    where: Where = Where(0, 0, "")
    client_streaming: bool = False
    served: bool = True

    @property
    def attribute(self) -> str:
        """The function in Python."""
        return names.method_attribute(self.name)


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A .proto of somebody else's, of which the contract uses types: `path` is how an import names it."""

    path: str
    package: str
    options: Options = ()
    where: Where = Where(0, 0, "")


@dataclass(frozen=True, slots=True)
class Contract:
    """A whole schema. `package` is the proto package; its last part is the API version.

    `exact` contracts have the names of a foreign .proto, whose package may have no version, or be empty. Types of
    `imports` are among `enums` and `messages`, each with its `file`. `places` are those of what stands at the keys of
    the schema's first level.
    """

    package: str
    service: str
    methods: tuple[Method, ...]
    enums: tuple[Enum, ...] = ()
    messages: tuple[Message, ...] = ()
    status: str = "draft"
    doc: str = ""
    exact: bool = False
    options: Options = ()
    service_options: Options = ()
    imports: tuple[ImportedFile, ...] = ()
    file: str = field(default="schema.yaml", compare=False)
    places: Mapping[str, Where] = field(default_factory=dict, compare=False)
    _messages: Mapping[str, Message] = field(init=False, repr=False, compare=False)
    _enums: Mapping[str, Enum] = field(init=False, repr=False, compare=False)
    _used_types: frozenset[str] = field(init=False, repr=False, compare=False)
    _takers: Mapping[str, list[str]] = field(init=False, repr=False, compare=False)
    _givers: Mapping[str, list[str]] = field(init=False, repr=False, compare=False)
    _full_names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Names are looked up for every field and message, and a schema may have thousands of messages."""
        kinds: list[Message | Enum] = [*self.all_messages(), *self.enums]
        used_types = frozenset(item.type for message in self.all_messages() for item in message.fields)
        object.__setattr__(self, "_messages", _by_name(self.all_messages()))
        object.__setattr__(self, "_enums", _by_name(self.enums))
        object.__setattr__(self, "_used_types", used_types)
        object.__setattr__(self, "_takers", _names_by(self.methods, lambda method: method.request.name))
        object.__setattr__(self, "_givers", _names_by(self.methods, lambda method: method.response.name))
        object.__setattr__(self, "_full_names", frozenset(self.full_name(kind) for kind in kinds))

    def where(self, key: str) -> Where:
        """The place of what stands at a key of the first level; the beginning of the schema where it is not written."""
        return self.places.get(key, Where(1, 1, ""))

    @property
    def version(self) -> str:
        """The last part of the package; a package without a version is the first one, `v1`."""
        return names.version(self.package) or "v1"

    @property
    def folder(self) -> str:
        """Where .proto and stubs lie below their roots; see `names.folder`."""
        return names.folder(self.package, self.service)

    @property
    def module(self) -> str:
        """The Python package of the stubs."""
        return self.folder.replace("/", ".")

    @property
    def served_methods(self) -> tuple[Method, ...]:
        """The methods that the model answers, of which there is at least one."""
        return tuple(method for method in self.methods if method.served)

    @property
    def full_service(self) -> str:
        """The service with its package, as in the path of a call and as a name of health."""
        return f"{self.package}.{self.service}".lstrip(".")

    def package_of(self, kind: Message | Enum) -> str:
        """The proto package of a message or an enum, which is another one for an imported type."""
        return next((item.package for item in self.imports if item.path == kind.file), self.package)

    def full_name(self, kind: Message | Enum) -> str:
        """The name of a message or an enum with its package, as in a descriptor."""
        if kind.in_proto.startswith("google.protobuf.") and not kind.file:
            return kind.in_proto
        return f"{self.package_of(kind)}.{kind.in_proto}".lstrip(".")

    def all_messages(self) -> Iterator[Message]:
        """Every message once: methods' own first, then the shared ones, as they stand in the .proto."""
        shared = {message.name for message in self.messages}
        owned = [message for method in self.methods for message in (method.request, method.response)]
        own = {message.name: message for message in owned if message.name not in shared}
        yield from (*own.values(), *self.messages)

    def enum(self, name: str) -> Enum | None:
        return self._enums.get(name)

    def message(self, name: str) -> Message | None:
        return self._messages.get(name)

    def kind(self, name: str) -> Message | Enum | None:
        """The enum or the message that Python knows by the name; None for a scalar."""
        return self.enum(name) or self.message(name)

    def takers(self, message: Message) -> list[str]:
        """The names of the methods that have the message as their request."""
        return self._takers.get(message.name, [])

    def givers(self, message: Message) -> list[str]:
        """The names of the methods that have the message as their response."""
        return self._givers.get(message.name, [])

    def is_used_type(self, name: str) -> bool:
        """Whether any field of a message has the type of this name."""
        return name in self._used_types

    @property
    def full_names(self) -> frozenset[str]:
        """The full names of all messages and enums."""
        return self._full_names

    def uses(self, kind: Kind) -> bool:
        """Whether any field is of a scalar type of this kind."""
        return any(
            item.scalar is not None and item.scalar.kind is kind
            for message in self.all_messages()
            for item in message.fields
        )

    def tensors(self) -> tuple[str, ...]:
        """The element types that appear in shapes with a named dimension, in the order of `SCALARS`."""
        used = {item.type for message in self.all_messages() for item in message.fields if item.dynamic}
        return tuple(name for name in SCALARS if name in used)


_Kind = TypeVar("_Kind", Message, Enum)


def _by_name(kinds: Iterable[_Kind]) -> dict[str, _Kind]:
    """The first of each name."""
    names: dict[str, _Kind] = {}
    for kind in kinds:
        names.setdefault(kind.name, kind)
    return names


def _names_by(methods: Iterable[Method], key: Callable[[Method], str]) -> dict[str, list[str]]:
    """The names of the methods with each key."""
    names: dict[str, list[str]] = {}
    for method in methods:
        names.setdefault(key(method), []).append(method.name)
    return names


def same_type(one: Contract, first: str, other: Contract, second: str) -> bool:
    """Whether the types `first` of one contract and `second` of the other are one, of fields or by their own names.

    Messages and enums are one by their full names, else by their names in Python: packages differ from version to
    version, and the name in Python of an imported type depends on what else there is.
    """
    before, after = one.kind(first), other.kind(second)
    if before is None or after is None:
        return before is after and first == second
    names = one.full_name(before), other.full_name(after)
    if names[0] == names[1]:
        return True
    return first == second and names[0] not in other.full_names and names[1] not in one.full_names


def _equal(value: Any) -> Any:
    """The value, or for NaN something that equals itself."""
    return "NaN" if value != value else value


def without_places(contract: Contract) -> Contract:
    """The same contract with every `where` blanked and NaN spelled out, to compare two that were read apart."""
    nowhere = Where(0, 0, "")

    def bare(message: Message) -> Message:
        fields = tuple(
            replace(item, where=nowhere, default=_equal(item.default), example=_equal(item.example))
            for item in message.fields
        )
        return replace(message, fields=fields, where=nowhere)

    return replace(
        contract,
        methods=tuple(
            replace(m, request=bare(m.request), response=bare(m.response), where=nowhere) for m in contract.methods
        ),
        enums=tuple(
            replace(e, values=tuple(replace(v, where=nowhere) for v in e.values), where=nowhere) for e in contract.enums
        ),
        messages=tuple(bare(m) for m in contract.messages),
        imports=tuple(replace(item, where=nowhere) for item in contract.imports),
    )
