"""Requests that a method should take: given by the caller, a project's own samples, or made up from the types."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protoserve.verify.address import UsageError
from protoserve.verify.interface import Interface, Method

# How long lists are in made-up requests, one after the other, until the server takes one: models want so many numbers.
LENGTHS = (1, 4, 2, 3, 8, 5, 6, 10, 13, 16, 30, 784)
_LONGEST = 10_000
_DEPTH = 6
_ITEMS = 4  # messages in a list of messages; one where such lists lie in each other
_MOST_VALUES = 20_000  # in one message: some contracts have thousands of fields within fields
_INTEGERS = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT32,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED32,
    FieldDescriptor.TYPE_SFIXED64,
}
_SHAPES = {"shape", "dims", "dim", "dimensions"}
# What a string most likely holds, by a word of its field's name. No URL: a server would go and fetch it.
_TEXTS = {
    "json": "{}",
    "email": "text@example.com",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "2026-01-01",
    "datetime": "2026-01-01T00:00:00Z",
    "timestamp": "2026-01-01T00:00:00Z",
    "language": "en",
    "lang": "en",
    "country": "NL",
    "currency": "EUR",
}
# Protobuf's own types that have rules: one of each, as JSON. Those that name other things (None) are left out.
_OWN_TYPES: dict[str, Any] = {
    "google.protobuf.Any": None,
    "google.protobuf.FieldMask": None,
    "google.protobuf.Timestamp": "2026-01-01T00:00:00Z",
    "google.protobuf.Duration": "1s",
    "google.protobuf.Struct": {"text": 1.0},
    "google.protobuf.Value": 1.0,
    "google.protobuf.ListValue": [1.0],
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bytes; `source` is where it is from, and `guess` says that it was made up from the types.

    A guess is `vague` where the types leave the form open: lists, strings, bytes, other messages.
    """

    data: bytes
    source: str
    guess: bool = False
    vague: bool = False


class Requests:
    """The requests of every method of an interface."""

    def __init__(self, interface: Interface, given: Mapping[str, Request]) -> None:
        self._interface, self._given = interface, dict(given)
        self._preferred: dict[str, Request] = {}

    def candidates(self, method: Method, told: list[int] | None = None) -> Iterator[Request]:
        """What to try, in order: the given request alone, else guesses that differ in how long lists are.

        Lengths that the caller puts into `told` between two guesses, since the server spoke of them, come first.
        """
        if method.path in self._given:
            yield self._given[method.path]
            return
        told = [] if told is None else told
        rest, seen = list(LENGTHS), set[bytes]()
        if (first := self._preferred.get(method.path)) is not None:
            seen.add(first.data)
            yield first
        while told or rest:
            length = told.pop(0) if told else rest.pop(0)
            guess = guessed(method.input, length)
            if guess.data not in seen:
                seen.add(guess.data)
                yield guess

    def settle(self, method: Method, request: Request) -> None:
        """From now on this is the request of the method: the server took it."""
        self._given[method.path] = request

    def prefer(self, method: Method, request: Request) -> None:
        """From now on this is the first candidate of the method."""
        self._preferred[method.path] = request

    def of(self, method: Method) -> Request:
        """The request of the method: the one that was settled on, else the first candidate."""
        return next(self.candidates(method))


def lengths_in(text: str) -> list[int]:
    """The numbers in an error text which may be how many values a model wants, the likelier ones first."""
    wanted = re.findall(r"(?:expect\w*|want\w*|requir\w*|must|need\w*|takes?|exactly|!=)\D{0,40}?(\d+)", text, re.I)
    every = re.findall(r"(?<![\d.])\d+(?![\d.])", text)
    found = dict.fromkeys(int(number) for number in (*wanted, *every) if len(number) < 6)
    return [number for number in found if 1 < number <= _LONGEST][:4]


def read(interface: Interface, given: Sequence[str], project: Path | None) -> dict[str, Request]:
    """The requests in files, by path of their method: `FILE.json` or `METHOD=FILE.json`, and a project's samples.

    METHOD is the method's name, or `package.Service/Method` where several services have it. A file that names no
    method is for the only one, or for the one that it is called after. Raises UsageError.
    """
    found: dict[str, Request] = {}
    if project is not None:
        for method in interface.methods:
            contract = interface.contract_of(method)
            older = [contract.version] if contract in interface.contracts[1:] and contract is not None else []
            file = project.joinpath("tests", "requests", *older, f"{method.name}.json")
            if file.is_file():
                found[method.path] = _read(method, file)
    for text in given:
        name, _, path = ("", "", text) if Path(text).is_file() else text.rpartition("=")
        method = _chosen(interface, text, name, Path(path))
        found[method.path] = _read(method, Path(path))
    return found


def _chosen(interface: Interface, text: str, name: str, file: Path) -> Method:
    """The method that `--request TEXT` is for. Raises UsageError where there is none, or several."""
    methods = interface.methods
    wanted = (name or file.stem).lstrip("/").replace("/", ".")
    found = [method for method in methods if f".{method.service}.{method.name}".endswith(f".{wanted}")]
    if not found and not name and len(methods) == 1:
        found = list(methods)
    if len(found) == 1:
        return found[0]
    names = [method.name for method in methods]
    known = ", ".join(m.name if names.count(m.name) == 1 else m.path.lstrip("/") for m in methods) or "none"
    raise UsageError(f"--request {text}: say which method it is for, METHOD=FILE.json; there are: {known}")


def _read(method: Method, file: Path) -> Request:
    try:
        text = file.read_text(encoding="utf-8")
        if not isinstance(json.loads(text), dict):
            raise UsageError(f"{file}: must be an object with the fields of {method.input.full_name}: {{...}}")
        message = json_format.Parse(text, method.request())
        return Request(message.SerializeToString(deterministic=True), str(file))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except (json_format.ParseError, EncodeError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"{file}: no {method.input.full_name} in protobuf's JSON: {error}") from None


def guessed(descriptor: Descriptor, length: int) -> Request:
    """A request that is made up from the types."""
    data = made(descriptor, length).SerializePartialToString(deterministic=True)  # partial: some types have no end
    return Request(data, "made from the types", guess=True, vague=_vague(descriptor))


def _vague(descriptor: Descriptor) -> bool:
    """Whether a message of this type has more than single numbers, switches and enums."""
    forms = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return any(f.is_repeated or f.message_type is not None or f.type in forms for f in descriptor.fields)


def made(descriptor: Descriptor, length: int, factor: float = 1.0) -> Message:
    """A message with every field set, lists of `length`, one member of each oneof; `factor` scales the numbers.

    The same for the same arguments, without an end in types that contain themselves, and of a bounded size.
    """
    message = GetMessageClass(descriptor)()
    _Maker(length, factor).fill(message, ())
    return message


class _Maker:
    def __init__(self, length: int, factor: float) -> None:
        self._length, self._factor, self._left = length, factor, _MOST_VALUES

    def fill(self, message: Message, above: tuple[str, ...]) -> None:
        """Sets the fields; `above` are the names of the messages that this one lies in."""
        name = message.DESCRIPTOR.full_name
        if name in _OWN_TYPES:
            if _OWN_TYPES[name] is not None:
                json_format.ParseDict(_OWN_TYPES[name], message)
            return
        chosen: set[str] = set()
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is not None and oneof.name in chosen:
                continue
            if self._set(message, field, (*above, name)) and oneof is not None:
                chosen.add(oneof.name)

    def _set(self, message: Message, field: Any, above: tuple[str, ...]) -> bool:
        """Whether the field could be set."""
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return self._set_map(getattr(message, field.name), field, above)
        if inner is not None:
            if not self._goes_into(inner, above):
                return False
            if field.is_repeated:
                for _ in range(min(self._length, _ITEMS if len(above) == 1 else 1)):
                    self.fill(getattr(message, field.name).add(), above)
            else:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name), above)
            return True
        if field.is_repeated and field.name in _SHAPES and field.type in _INTEGERS:
            getattr(message, field.name).extend([1, self._length])
        elif field.is_repeated:
            count = max(0, min(self._length, self._left))
            getattr(message, field.name).extend(value(field, self._factor * (n % 9 + 1)) for n in range(count))
            self._left -= count
        else:
            setattr(message, field.name, value(field, self._factor))
            self._left -= 1
        return True

    def _set_map(self, entries: Any, field: Any, above: tuple[str, ...]) -> bool:
        key, inner = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        if inner.message_type is None:
            entries[value(key, 1)] = value(inner, self._factor)
        elif self._goes_into(inner.message_type, above):
            entries[value(key, 1)].SetInParent()
            self.fill(entries[value(key, 1)], above)
        else:
            return False
        self._left -= 1
        return True

    def _goes_into(self, inner: Descriptor, above: tuple[str, ...]) -> bool:
        if _OWN_TYPES.get(inner.full_name, {}) is None or self._left <= 0:
            return False
        return inner.full_name not in above and len(above) <= _DEPTH


def value(field: Any, number: float) -> object:
    """A plausible value of a scalar: something that is not the default, so that it goes over the wire."""
    if field.type == FieldDescriptor.TYPE_STRING:
        words = re.findall(r"[a-z]+", field.name.lower())
        text = next((_TEXTS[word] for word in reversed(words) if word in _TEXTS), None)
        return text or ("text" if number == 1 else f"text_{number:g}")
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _PNG
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.type == FieldDescriptor.TYPE_ENUM:
        numbers = [item.number for item in field.enum_type.values]
        return next((number for number in numbers if number), numbers[0])
    return max(1, round(number)) if field.type in _INTEGERS else float(number)


def _png() -> bytes:
    """A picture of 8 by 8 grey pixels: what is called `bytes` is an image more often than anything else."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x80" * 24) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


_PNG = _png()
