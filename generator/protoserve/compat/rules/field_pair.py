"""One field as two contracts have it, and what a rule about fields is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protoserve.compat.change import Break, Changes, Directions
from protoserve.schema.model import Contract, Field, Message


def path_of(message: Message, field: Field) -> str:
    return field.where.path or f"{message.where.path or f'messages.{message.name}'}.fields.{field.name}"


@dataclass(frozen=True, slots=True)
class FieldPair:
    """`before` and `after` are one field to the author; `used` are the directions in which both messages are used."""

    old: Contract
    new: Contract
    before: Field
    after: Field
    path: str
    used: Directions
    changes: Changes

    def report(self, rule: str, breaks: Iterable[Break], why: str, remedy: str = "", *, key: str = "") -> None:
        """Adds a change of the field, or of one of its keys."""
        path = f"{self.path}.{key}" if key else self.path
        self.changes.add(path, self.after.where, rule, breaks, why, remedy)


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How a change of some keys of a field is judged; `keys` are names of `schema.field_keys.FIELD_KEYS`."""

    id: str
    keys: tuple[str, ...]
    purpose: str
    compare: Callable[[FieldPair], None]
