"""Which field of the new message is which of the old one, and the same for the values of an enum.

A number is what identifies both on the wire, so it goes before the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from protoserve.schema.model import Where


class Numbered(Protocol):
    """A field or an enum value."""

    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def renamed_from(self) -> str | None: ...
    @property
    def where(self) -> Where: ...


T = TypeVar("T", bound=Numbered)


@dataclass(slots=True)
class Matching(Generic[T]):
    """`kept` have their number, and their name or `renamed_from`; `moved` have another number; `reused` are a number
    under another name, which may be the same thing or not; `removed` and `added` have no counterpart."""

    kept: list[tuple[T, T]] = field(default_factory=list)
    moved: list[tuple[T, T]] = field(default_factory=list)
    reused: list[tuple[T, T]] = field(default_factory=list)
    removed: list[T] = field(default_factory=list)
    added: list[T] = field(default_factory=list)

    @property
    def same(self) -> list[tuple[T, T]]:
        """Those that are one thing to the author, whatever their numbers."""
        return [*self.kept, *self.moved]


def match(old: Sequence[T], new: Sequence[T]) -> Matching[T]:
    """Pairs up two lists; each item stands in one list of the result."""
    matching: Matching[T] = Matching()
    old_names = {item.name for item in old}
    by_number = {item.number: item for item in new}
    by_name = {item.name: item for item in new}
    # `renamed_from` has done its work, and says nothing any more, when the old contract has the new name.
    renamed = {item.renamed_from: item for item in new if item.renamed_from and item.name not in old_names}
    for before in old:
        there = by_number.get(before.number)
        named = by_name.get(before.name) or renamed.get(before.name)
        if named is not None:
            (matching.kept if named.number == before.number else matching.moved).append((before, named))
        elif there is not None and there.name not in old_names and there.renamed_from not in old_names:
            matching.reused.append((before, there))
        else:
            matching.removed.append(before)
    matched = {id(after) for _, after in (*matching.kept, *matching.moved, *matching.reused)}
    matching.added = [item for item in new if id(item) not in matched]
    return matching
