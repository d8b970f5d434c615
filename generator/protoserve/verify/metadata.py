"""What `--metadata KEY=VALUE` sends with every call, and keeps out of everything that is printed."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from protoserve.platform.reading import NotTextError, UnreadableFileError, read_text
from protoserve.verify.address import UsageError
from protoserve.verify.report import Finding, Outcome

MASK = "***"
# A key as gRPC allows it: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Custom-Metadata.
_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_BINARY = "-bin"  # the ending of keys whose values are bytes, in base64 on the wire
_OWN_KEYS = ("te", "content-type", "content-length", "host", "connection", "transfer-encoding", "user-agent")
_MAX_BYTES = 16 << 10  # more than servers accept
_SHORTEST = 4  # characters; hiding what is shorter would hide every digit of a report
_LONG, _BEGINNING = 16, 12  # of a long value this much is enough to be hidden, since texts are cut


@dataclass(frozen=True, slots=True)
class Metadata:
    """Keys with their values: texts, or bytes for keys that end in `-bin`. Neither is in its `repr`."""

    pairs: tuple[tuple[str, str | bytes], ...] = field(default=(), repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The same for HTTP; several values of a key are one header."""
        headers: dict[str, str] = {}
        for key, value in self.pairs:
            text = value if isinstance(value, str) else base64.b64encode(value).decode()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return headers

    def hide(self, text: str) -> str:
        """The text with a mask in place of every value, and of its parts between spaces (`Bearer TOKEN`)."""
        for secret in sorted(set(self._secrets()), key=len, reverse=True):
            text = _masked(text, secret)
        return text

    def hide_in(self, outcome: Outcome) -> Outcome:
        """The outcome without any of the values."""
        finding = outcome.finding
        hidden = Finding(
            finding.verdict,
            self.hide(finding.seen),
            self.hide(finding.cause),
            self.hide(finding.remedy),
            self.hide(finding.give),
        )
        return replace(outcome, finding=hidden)

    def _secrets(self) -> Iterable[str]:
        for _, value in self.pairs:
            if isinstance(value, bytes):
                yield base64.b64encode(value).decode().rstrip("=")
                value = value.decode("utf-8", "replace")
            words = [word for word in value.split() if len(word) >= 2 * _SHORTEST]
            for text in (value, *words):
                for form in (text, repr(text)[1:-1]):
                    if len(form) >= _SHORTEST:
                        yield form


NONE = Metadata()


def read(arguments: Sequence[str]) -> Metadata:
    """The metadata of these arguments: `KEY=VALUE`, `KEY=env:NAME` or `KEY=@FILE`.

    Raises UsageError, whose text has no values.
    """
    return Metadata(tuple(_pair(argument) for argument in arguments))


def _pair(argument: str) -> tuple[str, str | bytes]:
    key, equals, source = argument.partition("=")
    key = key.strip().lower()
    if not equals:
        raise UsageError("--metadata: must be KEY=VALUE, KEY=env:NAME or KEY=@FILE")
    if not _KEY.fullmatch(key):
        raise UsageError("--metadata: a key consists of letters, digits, and the characters - _ .")
    if key in _OWN_KEYS or key.startswith("grpc-"):
        raise UsageError(f"--metadata {key}: this key belongs to gRPC or HTTP itself: choose another one")
    value = _value(key, source)
    if not key.endswith(_BINARY):
        if not _VALUE.fullmatch(value):
            raise UsageError(
                f"--metadata {key}: the value must consist of printable ASCII characters; for others, use a key that "
                f"ends in {_BINARY}, and base64"
            )
        return key, value
    try:
        return key, base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"--metadata {key}: the value of a key that ends in {_BINARY} must be base64") from None


def _value(key: str, source: str) -> str:
    if source.startswith("env:"):
        name = source.removeprefix("env:")
        if name not in os.environ:
            raise UsageError(f"--metadata {key}: the environment has no variable {name}")
        value = os.environ[name]
    elif source.startswith("@"):
        value = _from_file(key, Path(source.removeprefix("@")))
    else:
        value = source
    if len(value) > _MAX_BYTES:
        raise UsageError(f"--metadata {key}: the value must have at most {_MAX_BYTES} characters")
    return value


def _from_file(key: str, file: Path) -> str:
    """The content of a file without the line end at its end."""
    try:
        return read_text(file, most=_MAX_BYTES + 2).rstrip("\r\n")
    except NotTextError:
        raise UsageError(f"--metadata {key}: {file}: not a text file") from None
    except UnreadableFileError as error:
        most = f"it must be a regular file with at most {_MAX_BYTES} characters"
        raise UsageError(f"--metadata {key}: {file} is {error.reason}: {most}") from None
    except OSError as error:
        raise UsageError(f"--metadata {key}: {file}: cannot be read: {error.strerror}") from None


def _masked(text: str, secret: str) -> str:
    """The text without the secret, nor a part of it that was cut off after its beginning, if it is long."""
    beginning = secret[:_BEGINNING] if len(secret) >= _LONG else secret
    parts, start = [], 0
    while (at := text.find(beginning, start)) >= 0:
        end = at + len(beginning)
        while end < len(text) and end - at < len(secret) and text[end] == secret[end - at]:
            end += 1
        parts += [text[start:at], MASK]
        start = end
    return "".join([*parts, text[start:]])
