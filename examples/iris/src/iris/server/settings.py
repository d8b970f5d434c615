"""The server's settings: a field each, read from the environment variable of its name in capitals."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from ..contract.methods import MAX_INT32, MIB, Method
from .default_port import DEFAULT_PORT
from .default_transport import DEFAULT_TRANSPORT

MAX_COUNT = 2**20
MAX_THREADS = 1024
MAX_MEMORY = 2**40

T = TypeVar("T")


def parse_text(text: str) -> str:
    return text


def parse_port(text: str) -> int:
    return _integer(text, 0, 65535)


def parse_count(text: str) -> int:
    return _integer(text, 1, MAX_COUNT)


def parse_threads(text: str) -> int:
    return _integer(text, 1, MAX_THREADS)


def parse_large_count(text: str) -> int:
    return _integer(text, 1, MAX_INT32)


def parse_bytes(text: str) -> int:
    return _integer(text, 1, MAX_INT32)


def parse_memory(text: str) -> int:
    return _integer(text, 1, MAX_MEMORY)


def parse_seconds(text: str) -> float:
    return _seconds(text, 0)


def parse_limit(text: str) -> float:
    return _seconds(text, 0.1)


def parse_host(text: str) -> str:
    if not re.fullmatch(r"\[[0-9a-fA-F:.%]+\]|[^\s/:\[\]]+", text):
        raise ValueError("must be a host name or an address, with IPv6 in brackets")
    return text


def parse_sha256(text: str) -> str:
    digest = text.lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError("must be 64 hexadecimal digits")
    return digest


def parse_names(text: str) -> tuple[str, ...]:
    names = tuple(re.findall(r"[^,\s]+", text))
    if not names:
        raise ValueError("must be names with commas between them")
    return names


def parse_log_level(text: str) -> str:
    return _choice(text.upper(), "DEBUG", "INFO", "WARNING", "ERROR")


def parse_log_format(text: str) -> str:
    return _choice(text.lower(), "auto", "json", "text")


def parse_transport(text: str) -> str:
    return _choice(text.lower(), "grpcio", "native")


def parse_switch(text: str) -> bool:
    switch = text.lower()
    if switch not in ("true", "1", "false", "0"):
        raise ValueError("must be true or false")
    return switch in ("true", "1")


def _integer(text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise ValueError(f"must be an integer from {low} to {high}")
    return number


def _seconds(text: str, low: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not low <= seconds <= 86400:
        raise ValueError(f"must be a number of seconds from {low:g} to 86400")
    return seconds


def _choice(word: str, *words: str) -> str:
    if word not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return word


def setting(default: T, parse: Callable[[str], T], meaning: str, shown: str = "") -> T:
    """A field of settings. `parse` raises ValueError with what the text must be; `shown` is the default in the docs."""
    number = f"{default:g}" if isinstance(default, float) else str(default)
    value: T = field(default=default, metadata={"parse": parse, "meaning": meaning, "default": shown or f"`{number}`"})
    return value


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment can change; an empty variable counts as one that is not set."""

    port: int = setting(DEFAULT_PORT, parse_port, "Port to listen on, from 0 to 65535; 0 takes any free one.")
    host: str = setting(
        "[::]", parse_host, "Address to listen on, with IPv6 in brackets; `[::]` is every interface, IPv4 too."
    )
    transport: str = setting(
        DEFAULT_TRANSPORT, parse_transport, "What carries calls: `grpcio`, or `native`, for trusted callers only."
    )
    model_path: str | None = setting(None, parse_text, "Path of the artifact to load.", "`ARTIFACT` in `model.py`")
    model_sha256: str | None = setting(
        None, parse_sha256, "SHA-256 of the artifact, 64 hex digits.", "the one in its `.sha256` file"
    )
    max_batch_size: int = setting(32, parse_count, "Maximum number of requests in a batch; 1 turns batching off.")
    unbatched_methods: tuple[str, ...] = setting(
        (), parse_names, "Methods that get one request at a time, separated by commas.", "none"
    )
    stream_threads: int = setting(
        1, parse_threads, "Threads for streams of methods that are not async; with 1, the model's thread computes them."
    )
    max_in_flight: int = setting(
        256, parse_count, "Maximum number of requests in flight; further ones get RESOURCE_EXHAUSTED."
    )
    max_in_flight_per_connection: int = setting(
        224, parse_count, "Maximum number of requests in flight on one connection.", "seven eighths of `MAX_IN_FLIGHT`"
    )
    max_in_flight_bytes: int = setting(
        512 * MIB,
        parse_memory,
        "Maximum memory of the requests in flight, in bytes; further ones get RESOURCE_EXHAUSTED.",
        "512 MiB, or four of the largest requests",
    )
    max_request_bytes: int = setting(
        4 * MIB, parse_bytes, "Maximum size of a request, in bytes.", "the contract's, 4 MiB or more"
    )
    max_request_elements: int = setting(
        500_000, parse_large_count, "Maximum number of elements of a request: messages, and items of lists and maps."
    )
    drain_seconds: float = setting(25.0, parse_seconds, "Seconds from SIGTERM to answer what is in flight, 0 to 86400.")
    lame_duck_seconds: float = setting(
        1.0, parse_seconds, "Seconds from SIGTERM in which new requests are still taken; keep it below DRAIN_SECONDS."
    )
    model_timeout_seconds: float = setting(
        300.0, parse_limit, "Most seconds for a batch, or a step of a stream; a model that takes longer hangs."
    )
    broken_seconds: float = setting(
        60.0, parse_seconds, "Seconds in which a broken model may recover before `liveness` is NOT_SERVING."
    )
    ready_seconds: float = setting(
        5.0, parse_limit, "Seconds between two calls of the model's `ready`, and the most that one may take."
    )
    keepalive_seconds: float = setting(
        60.0, parse_limit, "Seconds without a word from a client, after which a ping asks whether it is there."
    )
    keepalive_timeout_seconds: float = setting(
        20.0, parse_limit, "Seconds for the answer to that ping; without one the connection is closed."
    )
    max_connection_idle_seconds: float | None = setting(
        None, parse_limit, "Seconds without calls after which a connection is closed.", "never"
    )
    max_connection_age_seconds: float | None = setting(
        None, parse_limit, "Seconds, 10 % more or less, after which a connection is closed.", "never"
    )
    max_connection_age_grace_seconds: float | None = setting(
        None, parse_seconds, "Seconds for the calls that are in progress then; after that they fail.", "until they end"
    )
    stream_idle_seconds: float = setting(
        60.0,
        parse_limit,
        "Seconds after which the streams of a caller that takes nothing end; after twice as many its connection does.",
    )
    max_unread_bytes: int = setting(
        512 * MIB, parse_memory, "Maximum memory of the replies that callers have not taken yet, in bytes.", "512 MiB"
    )
    log_level: str = setting("INFO", parse_log_level, "Lowest level that is logged: DEBUG, INFO, WARNING or ERROR.")
    log_format: str = setting("auto", parse_log_format, "`json`, `text`, or `auto`: text on a terminal, else JSON.")
    log_requests: bool = setting(False, parse_switch, "`true` logs a line for every request.", "`false`")

    @classmethod
    def read(cls, environ: Mapping[str, str], methods: Sequence[Method]) -> Self:
        """The settings in `environ`; raises ValueError with all that is wrong with them."""
        values: dict[str, Any] = {"max_request_bytes": max(4 * MIB, *(method.receive_limit for method in methods))}
        problems = []
        for item in fields(cls):
            variable = item.name.upper()
            text = environ.get(variable, "").strip()
            if not text:
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError as error:
                problems.append(f"{variable} {error}; got {text!r}")
        values.setdefault("max_in_flight_bytes", max(512 * MIB, 4 * values["max_request_bytes"]))
        in_flight = values.get("max_in_flight", cls.max_in_flight)
        values.setdefault("max_in_flight_per_connection", in_flight - in_flight // 8)
        problems += _unknown_methods(values.get("unbatched_methods", ()), methods)
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**values)

    def max_batch_sizes(self, methods: Sequence[Method]) -> dict[str, int]:
        """The most requests that each method gets at once, by its path."""
        unbatched = set(self.unbatched_methods)
        return {method.path: 1 if method.names & unbatched else self.max_batch_size for method in methods}


def _unknown_methods(names: Sequence[str], methods: Sequence[Method]) -> list[str]:
    known = dict.fromkeys(name for method in methods for name in sorted(method.names))
    unknown = sorted(set(names).difference(known))
    if not unknown:
        return []
    return [f"UNBATCHED_METHODS must name methods of the contract ({', '.join(known)}); got {', '.join(unknown)}"]
