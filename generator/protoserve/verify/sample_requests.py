"""Requests that a method should accept: the user's files, a project's own samples, or guesses from the field types."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protoserve.platform.reading import UnreadableFileError, read_text
from protoserve.verify.address import UsageError
from protoserve.verify.interface import Interface, Method

# The lengths of lists in guesses, tried in this order until the server accepts one: models need a certain number.
LENGTHS = (1, 4, 2, 3, 8, 5, 6, 10, 13, 16, 30, 784)
_LONGEST = 10_000
_DEPTH = 6
_MAX_ITEMS = 4  # messages in a list of messages; 1 in a list inside another message
_MAX_VALUES = 20_000  # in one message: some contracts have thousands of nested fields
INTEGERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)
_SHAPES = {"shape", "dims", "dim", "dimensions"}
# A likely value of a string, by a word of its field's name. No URLs: a server would fetch them.
_TEXTS = {
    "json": "{}",
    "email": "text@example.com",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "2026-01-01",
}
# A picture of 8 by 8 grey pixels: most `bytes` fields hold an image.
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR4nGNowAEYhpYEAILzYAGc7g8kAAAAAElFTkSuQmCC"
)
# Values of protobuf's own message types, as JSON. None: left out, because it would have to name a type or field.
_WELL_KNOWN_VALUES: dict[str, Any] = {
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
    """A request as bytes; `source` is where it comes from, `guess` says that it was guessed from the types.

    A guess is `vague` if the types leave much open: lists, strings, bytes, other messages.
    """

    data: bytes
    source: str
    guess: bool = False
    vague: bool = False


class Requests:
    """The requests of every method of an interface."""

    def __init__(self, interface: Interface, by_path: Mapping[str, Request]) -> None:
        """`by_path` holds the known requests, by the path of their method."""
        self._interface, self._known = interface, dict(by_path)
        self._preferred: dict[str, Request] = {}

    def candidates(self, method: Method, suggested_lengths: list[int] | None = None) -> Iterator[Request]:
        """What to try, in order: only the known request, else guesses with lists of different lengths.

        The caller may add to `suggested_lengths` between two guesses, for example from the server's error; those
        lengths come first.
        """
        if method.path in self._known:
            yield self._known[method.path]
            return
        suggested_lengths = [] if suggested_lengths is None else suggested_lengths
        usual_lengths, tried = list(LENGTHS), set[bytes]()
        if (preferred := self._preferred.get(method.path)) is not None:
            tried.add(preferred.data)
            yield preferred
        while suggested_lengths or usual_lengths:
            length = suggested_lengths.pop(0) if suggested_lengths else usual_lengths.pop(0)
            guess = guess_request(method.input, length)
            if guess.data not in tried:
                tried.add(guess.data)
                yield guess

    def settle(self, method: Method, request: Request) -> None:
        """From now on this is the request of the method: the server accepted it."""
        self._known[method.path] = request

    def prefer(self, method: Method, request: Request) -> None:
        """From now on this is the first candidate of the method."""
        self._preferred[method.path] = request

    def of(self, method: Method) -> Request:
        """The request of the method: the known one, else the first candidate."""
        return next(self.candidates(method))


def lengths_in(text: str) -> list[int]:
    """The numbers in an error text that may be how many values a model needs, the likelier ones first."""
    expected = re.findall(r"(?:expect\w*|want\w*|requir\w*|must|need\w*|takes?|exactly|!=)\D{0,40}?(\d+)", text, re.I)
    others = re.findall(r"(?<![\d.])\d+(?![\d.])", text)
    numbers = dict.fromkeys(int(digits) for digits in (*expected, *others) if len(digits) < 6)
    return [number for number in numbers if 1 < number <= _LONGEST][:4]


def read_requests(interface: Interface, arguments: Sequence[str], project: Path | None) -> dict[str, Request]:
    """The requests in files, by the path of their method: `FILE.json` or `METHOD=FILE.json`, and a project's samples.

    METHOD is the method's name, or `package.Service/Method` if several services have it. A file without a method's name
    is for the only method, or for the one that the file is named after. Raises UsageError.
    """
    requests: dict[str, Request] = {}
    if project is not None:
        for method in interface.methods:
            file = _sample_file(interface, method, project)
            if file.is_file():
                requests[method.path] = _read_file(method, file, project)
    for argument in arguments:
        name, _, path = ("", "", argument) if Path(argument).is_file() else argument.rpartition("=")
        method = _method_of(interface, argument, name, Path(path))
        requests[method.path] = _read_file(method, Path(path))
    return requests


def _sample_file(interface: Interface, method: Method, project: Path) -> Path:
    """A project's sample for the method; samples of an older version are in a folder of its own."""
    contract = interface.contract_of(method)
    folder = project / "tests" / "requests"
    if contract is not None and contract in interface.contracts[1:]:
        folder /= contract.version
    return folder / f"{method.name}.json"


def _method_of(interface: Interface, argument: str, name: str, file: Path) -> Method:
    """The method that `--request ARGUMENT` is for. Raises UsageError if there is none, or several."""
    methods = interface.methods
    suffix = (name or file.stem).lstrip("/").replace("/", ".")
    matches = [method for method in methods if f".{method.service}.{method.name}".endswith(f".{suffix}")]
    if not matches and not name and len(methods) == 1:
        return methods[0]
    if len(matches) == 1:
        return matches[0]
    names = [method.name for method in methods]
    known = ", ".join(m.name if names.count(m.name) == 1 else m.path.lstrip("/") for m in methods) or "none"
    raise UsageError(f"--request {argument}: name its method, METHOD=FILE.json; the methods are: {known}")


def _read_file(method: Method, file: Path, project: Path | None = None) -> Request:
    try:
        text = read_text(file, project)
        if not isinstance(json.loads(text), dict):
            raise UsageError(f"{file}: must be an object with the fields of {method.input.full_name}: {{...}}")
        message = json_format.Parse(text, method.request())
        return Request(type(message).SerializeToString(message, deterministic=True), str(file))
    except UnreadableFileError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except (json_format.ParseError, EncodeError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"{file}: not a {method.input.full_name} in protobuf's JSON: {error}") from None


def guess_request(descriptor: Descriptor, length: int) -> Request:
    """A request guessed from the types, with lists of `length`."""
    # Partial: a type that requires itself cannot be filled completely.
    example = example_message(descriptor, length)
    data = type(example).SerializePartialToString(example, deterministic=True)
    return Request(data, "made from the types", guess=True, vague=_is_vague(descriptor))


def _is_vague(descriptor: Descriptor) -> bool:
    """Whether a message of this type has more than single numbers, bools and enums."""
    forms = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return any(f.is_repeated or f.message_type is not None or f.type in forms for f in descriptor.fields)


def example_message(descriptor: Descriptor, length: int, factor: float = 1.0) -> Message:
    """A message with every field set, lists of `length`, one member of each oneof; `factor` scales the numbers.

    Always the same for the same arguments and of a bounded size; in types that contain themselves it ends somewhere.
    """
    message = GetMessageClass(descriptor)()
    _Filler(length, factor).fill(message, ())
    return message


class _Filler:
    """Fills messages with example values, until there are _MAX_VALUES."""

    def __init__(self, length: int, factor: float) -> None:
        self._length, self._factor, self._values_left = length, factor, _MAX_VALUES

    def fill(self, message: Message, outer: tuple[str, ...]) -> None:
        """Sets the fields; `outer` holds the names of the messages that contain this one."""
        name = message.DESCRIPTOR.full_name
        if name in _WELL_KNOWN_VALUES:
            if _WELL_KNOWN_VALUES[name] is not None:
                json_format.ParseDict(_WELL_KNOWN_VALUES[name], message)
            return
        filled_oneofs: set[str] = set()
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is not None and oneof.name in filled_oneofs:
                continue
            if self._set(message, field, (*outer, name)) and oneof is not None:
                filled_oneofs.add(oneof.name)

    def _set(self, message: Message, field: Any, outer: tuple[str, ...]) -> bool:
        """Sets the field; False if that is not possible."""
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return self._set_map(getattr(message, field.name), field, outer)
        if inner is not None:
            if not self._can_contain(inner, outer):
                return False
            if field.is_repeated:
                for _ in range(min(self._length, _MAX_ITEMS if len(outer) == 1 else 1)):
                    self.fill(getattr(message, field.name).add(), outer)
            else:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name), outer)
            return True
        if field.is_repeated and field.name in _SHAPES and field.cpp_type in INTEGERS:
            getattr(message, field.name).extend([1, self._length])
        elif field.is_repeated:
            count = max(0, min(self._length, self._values_left))
            getattr(message, field.name).extend(example_value(field, self._factor * (n % 9 + 1)) for n in range(count))
            self._values_left -= count
        else:
            setattr(message, field.name, example_value(field, self._factor))
            self._values_left -= 1
        return True

    def _set_map(self, entries: Any, field: Any, outer: tuple[str, ...]) -> bool:
        key, inner = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        if inner.message_type is None:
            entries[example_value(key, 1)] = example_value(inner, self._factor)
        elif self._can_contain(inner.message_type, outer):
            entries[example_value(key, 1)].SetInParent()
            self.fill(entries[example_value(key, 1)], outer)
        else:
            return False
        self._values_left -= 1
        return True

    def _can_contain(self, inner: Descriptor, outer: tuple[str, ...]) -> bool:
        """Whether a message inside `outer` may have a message of type `inner`."""
        if _WELL_KNOWN_VALUES.get(inner.full_name, {}) is None or self._values_left <= 0:
            return False
        return inner.full_name not in outer and len(outer) <= _DEPTH


def example_value(field: Any, number: float) -> object:
    """A plausible value of a scalar, and not its default, so that it is sent."""
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
    return max(1, round(number)) if field.cpp_type in INTEGERS else float(number)
