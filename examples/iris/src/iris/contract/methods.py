"""What the server knows of a method of the contract, and which methods the author's model must have.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from .counting import Count

MIB = 2**20
MAX_INT32 = 2**31 - 1

Request = TypeVar("Request")
Response = TypeVar("Response")

Unary = Callable[[Sequence[Request]], Sequence[Response]] | Callable[[Request], Coroutine[Any, Any, Response]]
"""A method with one reply for a request: `def` takes a batch of requests, `async def` takes one request."""

Streaming = Callable[[Request], Iterator[Response]] | Callable[[Request], AsyncIterator[Response]]
"""A method with a stream of replies for a request: a generator, or an async generator."""

Handler = Callable[[Any], object]
"""A method of the model, of one of these forms."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of one version of the service: bytes in, typed messages for the model, bytes out.

    `decode` raises InvalidRequest, `encode` InvalidReply. `sample` returns the bytes of one valid request.
    `count` begins to count the elements of a request, before it is decoded.
    `max_request_bytes` is the largest request that the contract allows, None where it sets no bound. `attribute` is
    the name of the model's method. `make_handler`, set for older versions only, takes the model and returns the handler
    to use instead. `retired` is true if the newest version does not have the method.
    """

    name: str
    version: str
    attribute: str
    path: str
    streaming: bool
    decode: Callable[[bytes], object]
    encode: Callable[[object], bytes]
    sample: Callable[[], bytes]
    count: Callable[[bytes], Count]
    max_request_bytes: int | None
    make_handler: Callable[[object], Handler] | None = None
    retired: bool = False

    @property
    def label(self) -> str:
        """The name with the version, `v1.Predict`."""
        return f"{self.version}.{self.name}"

    @property
    def names(self) -> set[str]:
        """What settings and commands call it: `Predict`, which other versions share, or `v1.Predict`."""
        return {self.name, self.label}

    @property
    def receive_limit(self) -> int:
        """How many bytes a server must accept: 32 MiB, or the contract's bound and a sixteenth more.

        The sixteenth is for longer encodings of the same message. gRPC counts bytes in an int32.
        """
        if self.max_request_bytes is None:
            return 32 * MIB
        return min(self.max_request_bytes + self.max_request_bytes // 16, MAX_INT32)

    def bind(self, model: object) -> Handler:
        """The handler of this method for `model`."""
        if self.make_handler is not None:
            return self.make_handler(model)
        handler: Handler = getattr(model, self.attribute)
        return handler


def is_async(handler: object) -> bool:
    """Whether a handler is `async def`, and so runs on an event loop."""
    functions = (handler, getattr(handler, "__call__", None))  # noqa: B004  # an object may have an async one
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in functions)


def missing_methods(module: ModuleType, interface: type, methods: Iterable[Method]) -> list[str]:
    """What the class Model in the author's `module` lacks of `interface`, as lines that say what to write."""
    model = getattr(module, "Model", None)
    place = f"class Model of {module.__file__}"
    missing, lines = [], []
    for method in methods:
        name = method.attribute
        function = getattr(model, name, None)
        if function in (None, getattr(interface, name)):  # a method inherited from the interface is empty
            missing.append(name)
        elif method.streaming and inspect.iscoroutinefunction(function):
            lines.append(f"`async def {name}` in {place} streams, and needs a `yield` for each reply")
        elif not method.streaming and inspect.isasyncgenfunction(function):
            lines.append(f"`async def {name}` in {place} has one reply, and needs `return` in place of `yield`")
        elif not method.streaming and inspect.isgeneratorfunction(function):
            lines.append(f"`def {name}` in {place} has a list of replies, and needs `return` in place of `yield`")
    if missing:
        lines.insert(0, f"write {', '.join(missing)} in {place}: see contract.ModelInterface")
    return lines
