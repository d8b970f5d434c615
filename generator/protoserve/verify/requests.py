"""Requests that a method should take: given by the caller, a project's own samples, or made up from the types."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from protoserve.verify.address import UsageError
from protoserve.verify.interface import Interface, Method

# How long lists are in made-up requests, one after the other, until the server takes one: models want so many numbers.
LENGTHS = (1, 4, 2, 3, 8, 5, 6, 7, 10, 16, 13, 784)
_DEPTH = 6
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


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bytes; `source` is where it is from, and `guess` says that it was made up from the types."""

    data: bytes
    source: str
    guess: bool = False


class Requests:
    """The requests of every method of an interface."""

    def __init__(self, interface: Interface, given: Mapping[str, Request]) -> None:
        self._interface, self._given = interface, dict(given)

    def candidates(self, method: Method) -> Iterator[Request]:
        """What to try, in order: the given request alone, else guesses that differ in how long lists are."""
        if method.path in self._given:
            yield self._given[method.path]
            return
        seen = set()
        for length in LENGTHS:
            data = made(method.input, length).SerializeToString(deterministic=True)
            if data not in seen:
                seen.add(data)
                yield Request(data, "made from the types", guess=True)

    def settle(self, method: Method, request: Request) -> None:
        """From now on this is the request of the method: the server took it."""
        self._given[method.path] = request

    def of(self, method: Method) -> Request:
        """The request of the method: the one that was settled on, else the first candidate."""
        return next(self.candidates(method))


def read(interface: Interface, given: Sequence[str], project: Path | None) -> dict[str, Request]:
    """The requests in files, by path of their method: `FILE.json` or `METHOD=FILE.json`, and a project's samples.

    A file that names no method is for the only one, or for the one that it is called after. Raises UsageError.
    """
    found: dict[str, Request] = {}
    if project is not None:
        for method in interface.methods:
            file = project / "tests" / "requests" / f"{method.name}.json"
            if file.is_file():
                found[method.path] = _read(method, file)
    for text in given:
        name, _, path = text.rpartition("=")
        file = Path(path)
        names = {method.name: method for method in interface.methods}
        chosen = names.get(name or file.stem) or (interface.methods[0] if not name and len(names) == 1 else None)
        if chosen is None:
            known = ", ".join(names) or "none"
            raise UsageError(f"--request {text}: say which method it is for, METHOD=FILE.json; there are: {known}")
        found[chosen.path] = _read(chosen, file)
    return found


def _read(method: Method, file: Path) -> Request:
    try:
        text = file.read_text(encoding="utf-8")
        message = json_format.Parse(text, method.request())
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except (json_format.ParseError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{file}: no {method.input.full_name} in protobuf's JSON: {error}") from None
    return Request(message.SerializeToString(deterministic=True), str(file))


def made(descriptor: Descriptor, length: int, factor: float = 1.0) -> Message:
    """A message with every field set, lists of `length`, one member of each oneof; `factor` scales the numbers."""
    from google.protobuf.message_factory import GetMessageClass

    message = GetMessageClass(descriptor)()
    _fill(message, length, factor, ())
    return message


def _fill(message: Message, length: int, factor: float, above: tuple[str, ...]) -> None:
    descriptor = message.DESCRIPTOR
    chosen: set[str] = set()
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in chosen:
            continue
        inner = field.message_type
        if inner is not None and (inner.full_name in above or len(above) > _DEPTH):
            continue
        if oneof is not None:
            chosen.add(oneof.name)
        path = (*above, descriptor.full_name)
        if inner is not None and inner.GetOptions().map_entry:
            _fill_map(message, field, length, factor, path)
        elif inner is not None and field.is_repeated:
            for _ in range(min(length, 4)):
                _fill(getattr(message, field.name).add(), length, factor, path)
        elif inner is not None:
            getattr(message, field.name).SetInParent()
            _fill(getattr(message, field.name), length, factor, path)
        elif field.is_repeated:
            getattr(message, field.name).extend(value(field, factor * (index + 1)) for index in range(length))
        else:
            setattr(message, field.name, value(field, factor))


def _fill_map(message: Message, field: Any, length: int, factor: float, above: tuple[str, ...]) -> None:
    key, inner = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    entries = getattr(message, field.name)
    if inner.message_type is None:
        entries[value(key, 1)] = value(inner, factor)
    elif inner.message_type.full_name not in above:
        _fill(entries[value(key, 1)], length, factor, above)


def value(field: Any, number: float) -> object:
    """A plausible value of a scalar: something that is not the default, so that it goes over the wire."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return "a text" if number == 1 else f"a text {number:g}"
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
