"""How callers of an older version of the contract are answered by the newest one.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from .methods import Handler, Method, is_async
from .violations import InvalidReply, InvalidRequest

T = TypeVar("T")

# One name of a path and what picks an item of it: `history[3]`, `counters['a.b']`.
_PART = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]*)((?:\[(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\]]*)\])*)")

unfinished: list[str] = []
"""What the authors of upgrades must still write, a line each."""


@dataclass(frozen=True, slots=True)
class Step:
    """One method from a version to the next: a request on its way up, a reply on its way down.

    `check` raises InvalidReply for an upgraded request that breaks the newer contract, whose version is `newer`.
    `older` names the message of requests before the step; `renamed` says what it calls a field of the newer one.
    """

    upgrade: Callable[[Any], Any]
    downgrade: Callable[[Any], Any]
    check: Callable[[object, str], Message]
    older: str
    newer: str
    renamed: Mapping[str, str]

    def upgrade_request(self, request: Any) -> Any:
        """The request as the newer version has it; raises InvalidRequest in the words of the older one."""
        upgraded = self.upgrade(request)
        try:
            self.check(upgraded, "")
        except InvalidReply as error:
            subject = f"the {self.newer} request that {self.upgrade.__qualname__} made"
            raise InvalidReply(error.field, error.wanted, error.got, subject=subject) from None
        return upgraded

    @contextmanager
    def errors_for_caller(self) -> Iterator[None]:
        """What the model says of the newer version's request, under the paths that the older version's caller knows."""
        try:
            yield
        except InvalidRequest as error:
            first, *others = (v._replace(field=path(v.field, self.renamed, self.older)) for v in error.violations)
            raise InvalidRequest(first.description, field=first.field, others=others) from error


def instantiate(kind: type[T]) -> T:
    """An instance of an author's upgrade. What it lacks goes to `unfinished`.

    The server refuses to start while that is not empty.
    """
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if not missing:
        return kind()
    file, base = sys.modules[kind.__module__].__file__, kind.__mro__[1].__module__
    unfinished.append(f"write {', '.join(missing)} in class {kind.__name__} of {file}: {base} says what each is for")
    return type(kind.__name__, (kind,), dict.fromkeys(missing))()  # type: ignore[no-any-return]


def upgraded_method(method: Method, last: Method, *steps: Step) -> Method:
    """`method` of an older version, answered by `last` at the end of the steps."""
    make_handler = last.bind
    for step in reversed(steps):
        make_handler = partial(_streamed if method.streaming else _batched, step, make_handler)

    def encode(reply: object) -> bytes:
        for step in reversed(steps):
            reply = step.downgrade(reply)
        return method.encode(reply)

    return replace(method, make_handler=make_handler, encode=encode, retired=last.retired)


def retired_method(method: Method, handler: Callable[..., Any]) -> Method:
    """A method that the next version dropped. `handler` receives the model and the requests."""
    return replace(method, make_handler=partial(partial, handler), retired=True)


def _batched(step: Step, bind: Callable[[object], Handler], model: object) -> Handler:
    handler = bind(model)

    def handle(batch: Sequence[object]) -> object:
        upgraded = [step.upgrade_request(request) for request in batch]
        with step.errors_for_caller():
            return handler(upgraded)

    async def handle_one(request: object) -> object:
        upgraded = step.upgrade_request(request)
        with step.errors_for_caller():
            return await cast(Awaitable[object], handler(upgraded))

    return handle_one if is_async(handler) else handle


def _streamed(step: Step, bind: Callable[[object], Handler], model: object) -> Handler:
    handler = bind(model)

    def handle(request: object) -> Iterator[object]:
        upgraded = step.upgrade_request(request)
        with step.errors_for_caller():
            yield from cast(Iterable[object], handler(upgraded))

    async def handle_async(request: object) -> AsyncIterator[object]:
        upgraded = step.upgrade_request(request)
        with step.errors_for_caller():
            async with aclosing(cast(AsyncGenerator[object], handler(upgraded))) as replies:
                async for reply in replies:
                    yield reply

    return handle_async if is_async(handler) else handle


def path(newer: str, renamed: Mapping[str, str], older: str) -> str:
    """A field's path in the older version; empty, which is the request as a whole, where that has no such field."""
    parts = _PART.findall(newer)
    names, items = [name for name, _ in parts], [item for _, item in parts]
    for length in range(len(names), 0, -1):
        other = renamed.get(".".join(names[:length]))
        if other is not None:
            names = [*other.split("."), *names[length:]]
            break
    if not _has(descriptor_pool.Default().FindMessageTypeByName(older), names):
        return ""
    items = items if len(items) == len(names) else [""] * len(names)
    return ".".join(f"{name}{item}" for name, item in zip(names, items, strict=True))


def _has(message: Any, names: Sequence[str]) -> bool:
    for name in names:
        if message is None:
            return False
        field = message.fields_by_name.get(name)
        if field is None:
            return name in message.oneofs_by_name and name == names[-1]
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            message = message.fields_by_name["value"].message_type
    return bool(names)
