"""A caller's JSON: counted before anything is built from it, and parsed in parts.

`json.loads` holds the interpreter lock from the first byte to the last, so that nothing else runs meanwhile, health
included. So a long text is split at commas, and each part is parsed by itself.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...contract.violations import MAX_VIOLATIONS, InvalidRequest, Violation
from ..json_violations import shortened

PART_BYTES = 2**16  # of a long text, which take about a millisecond
SHORT_BYTES, SHORT_ITEMS = 2**21, 2**18  # of a text that is parsed at once, in 20 milliseconds at most
MAX_DEPTH = 256  # of a long text; protobuf reads 100 messages in each other, two levels of JSON each
CHECKED_ITEMS = 1024  # of a long list or object, after which somebody may still wait for it, or not

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:', re.DOTALL)
_OPENING, _CLOSING, _COMMA, _QUOTE = 1, -1, 2, 3  # the first two are what they do to the depth
_MEANINGS = {b"[": _OPENING, b"{": _OPENING, b"]": _CLOSING, b"}": _CLOSING, b",": _COMMA, b'"': _QUOTE}
_KINDS = bytes(_MEANINGS.get(bytes([each]), 0) % 256 for each in range(256))


class TooManyItems(Exception):
    """The body holds more items than a request may have."""


class RepeatedKey(Exception):
    """An object has a key twice."""


def _without_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise RepeatedKey
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_without_repeated)


@dataclass(frozen=True, slots=True)
class Commas:
    """The commas of a text outside its strings: where each is, and in how many brackets."""

    places: NDArray[np.int64]
    depths: NDArray[np.int64]

    def between(self, start: int, end: int, depth: int) -> NDArray[np.int64]:
        """The places of those at this depth in a part of the text."""
        first, last = np.searchsorted(self.places, (start, end))
        places: NDArray[np.int64] = self.places[first:last][self.depths[first:last] == depth]
        return places


class LongList(list[Any]):
    """A list that calls `check` now and then while it is read, so that whoever reads it can be stopped."""

    check: Callable[[], None]

    def __iter__(self) -> Iterator[Any]:
        return _checked(super().__iter__(), self.check)


class LongObject(dict[str, Any]):
    """An object that calls `check` now and then while it is read."""

    check: Callable[[], None]

    def __iter__(self) -> Iterator[str]:
        return _checked(super().__iter__(), self.check)


def read_json(body: bytes, max_items: int, check: Callable[[], None]) -> Any:
    """The value of a JSON text. Each value in a list or an object is an item, and each of these one more.

    `check` is called every few milliseconds, and may raise an error to end this. Raises TooManyItems, and
    InvalidRequest for a text that is not JSON, is nested too deeply, or has a key twice in an object.
    """
    try:
        encoding = json.detect_encoding(body)
        if encoding != "utf-8":
            body = body.decode(encoding).encode()
        is_short = _is_short(body, max_items)
        if is_short:
            with suppress(RepeatedKey):  # of which the other way says where it is
                return _STRICT.decode(body.decode())
        reader = _Reader(body, None if is_short else _commas(body, max_items, check), check)
        value = reader.value(0, len(body), 0)
    except InvalidRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if reader.repeated:
        first, *others = list(_repeated_keys(value, "", reader.repeated))[:MAX_VIOLATIONS]
        raise InvalidRequest(first.description, field=first.field, others=others)
    return value


def _is_short(body: bytes, max_items: int) -> bool:
    """Whether a text can be parsed at once: by a sum that is quickly made, and too high where strings have commas."""
    most = min(SHORT_ITEMS, max_items)
    return len(body) <= SHORT_BYTES and body.count(b"[") + body.count(b"{") + body.count(b",") <= most


def _commas(body: bytes, max_items: int, check: Callable[[], None]) -> Commas:
    """Reads the text once, without building anything from it. Raises TooManyItems, and InvalidRequest for its depth."""
    places: list[NDArray[np.int64]] = []
    depths: list[NDArray[np.int64]] = []
    depth = items = start = quotes = 0
    while start < len(body):
        check()
        part = body[start : start + PART_BYTES]
        if (len(part) - len(part.rstrip(b"\\"))) % 2 and len(part) > 1:
            part = part[:-1]  # what this last one escapes is in the next part
        text = _ESCAPE.sub(b"__", part) if b"\\" in part else part
        kinds = np.frombuffer(text.translate(_KINDS), np.int8)
        found = np.flatnonzero(kinds != 0)
        kinds = kinds[found]
        is_quote = kinds == _QUOTE
        in_string = (np.cumsum(is_quote, dtype=np.uint8) + quotes) & 1 == 1  # or a quote; the type may overflow
        quotes = (quotes + int(np.count_nonzero(is_quote))) & 1
        outside = ~(in_string | is_quote)
        found, kinds = found[outside], kinds[outside]
        is_comma = kinds == _COMMA
        around = depth + np.cumsum(kinds * ~is_comma, dtype=np.int64)
        items += int(np.count_nonzero(is_comma) + np.count_nonzero(kinds == _OPENING))
        if items > max_items:
            raise TooManyItems
        if len(around):
            depth = int(around[-1])
            if around.max() > MAX_DEPTH:
                raise InvalidRequest(f"the body is nested more than {MAX_DEPTH} levels deep")
        places.append(found[is_comma] + start)
        depths.append(around[is_comma])
        start += len(part)
    return Commas(np.concatenate(places), np.concatenate(depths))


class _Reader:
    """Parses a text; without its commas, at once."""

    def __init__(self, body: bytes, commas: Commas | None, check: Callable[[], None]) -> None:
        self._body, self._commas, self._check = body, commas, check
        self._decode = json.JSONDecoder(object_pairs_hook=self._object).decode
        self.repeated: dict[int, str] = {}  # the key that an object has twice, by the object's id

    def value(self, start: int, end: int, depth: int) -> Any:
        """The value in a part of the text, in so many brackets. Raises ValueError, with its place."""
        text = self._body[start:end].strip(b" \t\n\r") if end - start > PART_BYTES else b""
        is_container = text[:1] in (b"[", b"{") and text[1:-1].strip(b" \t\n\r")
        if self._commas is None or len(text) <= PART_BYTES or not is_container:
            return self._parse("", start, end, "")
        first = self._body.index(text[:1], start)
        last = first + len(text) - 1
        is_list = text[:1] == b"["
        if self._body[last : last + 1] != (b"]" if is_list else b"}"):
            self._fail(f"expecting {']' if is_list else '}'}", last)
        del text
        stops = np.append(self._commas.between(first, last, depth + 1), last)
        return (self._list if is_list else self._long_object)(first + 1, stops, depth + 1)

    def _list(self, start: int, stops: NDArray[np.int64], depth: int) -> LongList:
        items = LongList()
        items.check = self._check
        for first, last in self._parts(start, stops):
            if last - first > PART_BYTES:
                items.append(self.value(first, last, depth))
            elif part := self._parse("[", first, last, "]"):
                items += part
            else:
                self._fail("expecting value", last)
        return items

    def _long_object(self, start: int, stops: NDArray[np.int64], depth: int) -> LongObject:
        value = LongObject()
        value.check = self._check
        for first, last in self._parts(start, stops):
            if last - first > PART_BYTES:
                key = _KEY.match(self._body, first, last)
                if key is None:
                    self._fail("expecting a key in double quotes", first)
                part = {self._parse("", key.start(1), key.end(1), ""): self.value(key.end(), last, depth)}
            else:
                part = self._parse("{", first, last, "}")
                if not part:
                    self._fail("expecting a key in double quotes", last)
            if id(part) in self.repeated:
                self.repeated[id(value)] = self.repeated.pop(id(part))
            for name in value.keys() & part.keys():
                self.repeated[id(value)] = name
            value.update(part)
        return value

    def _parts(self, start: int, stops: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Parts of a container from comma to comma, as long as PART_BYTES allows, or with a single item."""
        index = 0
        while index < len(stops):
            self._check()
            last = max(index, int(np.searchsorted(stops, start + PART_BYTES, side="right")) - 1)
            stop = int(stops[last])
            yield start, stop
            start, index = stop + 1, last + 1

    def _parse(self, opening: str, start: int, end: int, closing: str) -> Any:
        try:
            return self._decode(f"{opening}{self._body[start:end].decode()}{closing}")
        except json.JSONDecodeError as error:
            before = len(error.doc[: error.pos].encode()) - len(opening)
            self._fail(error.msg, start + before)

    def _fail(self, message: str, place: int) -> NoReturn:
        text = self._body[:place].decode(errors="replace")
        raise json.JSONDecodeError(message, text, len(text))

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            count = Counter(key for key, _ in pairs)
            self.repeated[id(value)] = next(key for key in count if count[key] > 1)
        return value


def _repeated_keys(value: Any, at: str, repeated: dict[int, str]) -> Iterator[Violation]:
    """The keys that objects within a value have twice."""
    if isinstance(value, dict):
        if id(value) in repeated:
            yield Violation(f"{at}.{shortened(repeated[id(value)])}".lstrip("."), "is given more than once")
        for key, item in value.items():
            if isinstance(item, dict | list):
                yield from _repeated_keys(item, f"{at}.{shortened(key)}".lstrip("."), repeated)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _repeated_keys(item, f"{at}[{index}]", repeated)


def _checked(items: Iterator[Any], check: Callable[[], None]) -> Iterator[Any]:
    for index, item in enumerate(items):
        if index % CHECKED_ITEMS == 0:
            check()
        yield item
