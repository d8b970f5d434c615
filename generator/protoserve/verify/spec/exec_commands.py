"""What the command of an exec probe asks its own container: gRPC health with grpc_health_probe, or a URL."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from protoserve.verify.spec.tree import Node

_SHELLS = ("sh", "bash", "ash", "dash")
# https://github.com/grpc-ecosystem/grpc-health-probe; Go's flags may have one dash or two.
_GRPC_PROBE = re.compile(r"(.*/)?grpc[_-]health[_-]probe[^/]*")
_OPTION = re.compile(r"--?(addr|service)(?:=(.*))?", re.DOTALL)
_PORT = re.compile(r":(\d{1,5})$")
_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0)(?::(\d{1,5}))?(?:/|$)", re.IGNORECASE)
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `protocol` is grpc or http, `port` None where the command does not say it as a number."""

    protocol: str
    port: int | None
    service: str = ""


def question(handler: Node) -> Question | None:
    """What the command of an `exec` handler asks, None if it is not one of these."""
    command = handler.get("command")
    words = [] if command is None else [str(item.value) for item in command.items]
    if words and words[0].rpartition("/")[2] in _SHELLS and "-c" in words[1:-1]:
        words = _split(words[words.index("-c") + 1])
    if any(_GRPC_PROBE.fullmatch(word) for word in words):
        options = _options(words)
        match = _PORT.search(options.get("addr", ""))
        return Question("grpc", int(match[1]) if match else None, options.get("service", ""))
    url = next((match for word in words if (match := _URL.match(word))), None)
    return None if url is None else Question("http", int(url[1] or _HTTP_PORT))


def _split(script: str) -> list[str]:
    try:
        return shlex.split(script)
    except ValueError:
        return script.split()


def _options(words: list[str]) -> dict[str, str]:
    """The options of grpc_health_probe: `-addr=:9000`, or `-addr :9000`."""
    options: dict[str, str] = {}
    for index, word in enumerate(words):
        if match := _OPTION.fullmatch(word):
            options[match[1]] = match[2] if match[2] is not None else " ".join(words[index + 1 : index + 2])
    return options
