"""The server's settings: a field each, read from the environment variable of its name in capitals."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ..contract.methods import Method
from .default_port import DEFAULT_PORT

MIB = 2**20
LARGEST_MESSAGE = 2**31 - 1  # gRPC counts bytes in an int32

# How a setting is made from text, and what it may be then.
Rule = tuple[Callable[[str], Any], Callable[[Any], Any]]
PORT: Rule = (int, range(65536).__contains__)
COUNT: Rule = (int, range(1, MIB + 1).__contains__)
BYTES: Rule = (int, range(1, LARGEST_MESSAGE + 1).__contains__)
SECONDS: Rule = (float, lambda value: 0 <= value <= 86400)
TEXT: Rule = (str, bool)
HOST: Rule = (str, re.compile(r"\[[0-9a-fA-F:.%]+\]|[^\s/:\[\]]+").fullmatch)
SHA256: Rule = (str.lower, re.compile("[0-9a-f]{64}").fullmatch)
NAMES: Rule = (lambda text: tuple(re.findall(r"[^,\s]+", text)), bool)
LEVEL: Rule = (str.upper, ("DEBUG", "INFO", "WARNING", "ERROR").__contains__)
FORMAT: Rule = (str.lower, ("auto", "json", "text").__contains__)
SWITCH: Rule = (lambda text: ("false", "0", "true", "1").index(text.lower()) > 1, lambda _: True)


def setting(default: Any, rule: Rule, meaning: str, shown: str = "") -> Any:
    return field(default=default, metadata={"rule": rule, "meaning": meaning, "default": shown or f"`{default}`"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment can change; an empty variable counts as one that is not set."""

    port: int = setting(DEFAULT_PORT, PORT, "Port to listen on, 0 to 65535; 0 takes any free one.")
    host: str = setting("[::]", HOST, "Address to listen on, IPv6 in brackets; `[::]` is every interface, IPv4 too.")
    model_path: str | None = setting(None, TEXT, "Path of the artifact to load.", "`ARTIFACT` in `model.py`")
    model_sha256: str | None = setting(None, SHA256, "SHA-256 of the artifact, 64 hex digits.", "its `.sha256` file's")
    max_batch_size: int = setting(32, COUNT, "Requests that the model gets at once, at most; 1 turns batching off.")
    unbatched_methods: tuple[str, ...] = setting((), NAMES, "Methods, by comma, that get one request a time.", "none")
    max_in_flight: int = setting(256, COUNT, "Requests in work, at most; more get RESOURCE_EXHAUSTED.")
    max_request_bytes: int = setting(0, BYTES, "Bytes of one request, at most.", "the contract's, 4 MiB or more")
    drain_seconds: float = setting(25, SECONDS, "Seconds from SIGTERM to answer what is in flight, 0 to 86400.")
    lame_duck_seconds: float = setting(1, SECONDS, "Seconds from SIGTERM in which new requests are still taken.")
    log_level: str = setting("INFO", LEVEL, "Least level that is logged: DEBUG, INFO, WARNING or ERROR.")
    log_format: str = setting("auto", FORMAT, "`json`, `text`, or `auto`: text on a terminal, else JSON.")
    log_requests: bool = setting(False, SWITCH, "`true`: a line in the log for every request.", "`false`")

    @classmethod
    def read(cls, environ: Mapping[str, str], methods: Sequence[Method]) -> Self:
        """The settings in `environ`; raises ValueError, which says all that is wrong with them."""
        values: dict[str, Any] = {"max_request_bytes": max(4 * MIB, *(method.receive_limit for method in methods))}
        problems = []
        for item in fields(cls):
            if text := environ.get(item.name.upper(), "").strip():
                make, valid = item.metadata["rule"]
                try:
                    if not valid(value := make(text)):
                        raise ValueError
                    values[item.name] = value
                except ValueError:
                    problems.append(f"{item.name.upper()} cannot be {text!r}. It is: {item.metadata['meaning']}")
        known = dict.fromkeys(name for method in methods for name in sorted(method.names))
        if unknown := sorted(set(values.get("unbatched_methods", ())).difference(known)):
            problems.append(f"UNBATCHED_METHODS cannot have {', '.join(unknown)}. There are: {', '.join(known)}")
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**values)
