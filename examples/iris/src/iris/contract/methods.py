"""What the server knows of a method of the contract, and which methods the author's model must have.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .counting import Count

MIB = 2**20
MAX_INT32 = 2**31 - 1

Handler = Callable[[Any], object]
"""A method of the model: takes a list of requests and returns a list of replies, or one request and streams them."""


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


def missing_methods(module: ModuleType, interface: type, methods: Iterable[Method]) -> list[str]:
    """What the class Model in the author's `module` lacks of `interface`, as lines that say what to write."""
    model = getattr(module, "Model", None)
    names = [method.attribute for method in methods]
    # A method inherited from the interface is empty.
    missing = [name for name in names if getattr(model, name, None) in (None, getattr(interface, name))]
    if not missing:
        return []
    return [f"write {', '.join(missing)} in class Model of {module.__file__}: see contract.ModelInterface"]
