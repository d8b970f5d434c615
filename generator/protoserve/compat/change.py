"""One change, and for whom it breaks something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from protoserve.schema.model import Where


class Break(StrEnum):
    """What a change breaks for callers who know the old contract.

    `WIRE`: calls fail, or bytes are read as something else. `JSON`: the same for protobuf's JSON, where names
    count. `REQUEST`: a request that was valid is refused, ignored in part, or means something else. `RESPONSE`: a reply
    can hold what callers never had to expect, or no longer holds what they could rely on. `SOURCE`: only code that is
    compiled against the new .proto; callers who do not are not touched. It is named where nothing else breaks.
    """

    WIRE = "wire"
    JSON = "json"
    REQUEST = "request"
    RESPONSE = "response"
    SOURCE = "source"


ORDER = tuple(Break)
Directions = frozenset[Break]
# Where something is used on its way to the server, on its way back, or by no method at all.
BOTH: Directions = frozenset({Break.REQUEST, Break.RESPONSE})


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference. `path` is the way of keys in the schema, as in errors: the old one of what is gone.

    `rule` is a short name for the kind of difference. `breaks` has the order of `Break`, and is empty for a change that
    no caller notices. `why` says what happens to callers. `remedy` says what to do instead, empty where nothing has to
    be done. `where` is the place in the new schema: for what is gone, that of what held it.
    """

    path: str
    rule: str
    breaks: tuple[Break, ...]
    why: str
    remedy: str
    where: Where = field(default=Where(1, 1, ""), compare=False)

    @property
    def breaking(self) -> bool:
        return bool(self.breaks)


class Changes:
    """Changes as they are collected; those of one path and rule become one, with all that they break."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], Change] = {}

    def add(self, path: str, where: Where, rule: str, breaks: Iterable[Break], why: str, remedy: str = "") -> None:
        """Adds a change; the remedy of one that breaks nothing is dropped."""
        before = self._changes.get((path, rule))
        if before is not None and not set(breaks) - set(before.breaks):
            return
        broken = {*breaks, *(before.breaks if before is not None else ())}
        ordered = tuple(item for item in ORDER if item in broken)
        self._changes[path, rule] = Change(path, rule, ordered, why, remedy if ordered else "", where)

    def __iter__(self) -> Iterator[Change]:
        return iter(sorted(self._changes.values()))
