"""How large one sample may become, and how long making it may take: a schema of a few lines can ask for gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.model import Contract, Field

# Of a request in JSON, which is a file of a project: commands read none that is larger than 16 MiB.
JSON_CHARACTERS = 15 << 20
# Of a message as a Python expression, which is part of a module: texts and maps count, while arrays are short.
CODE_CHARACTERS = 1 << 20
# Fields that are set or looked at for one sample.
STEPS = 50_000
# Messages in messages. protobuf's parsers stop at 100, and a json value or a tensor needs some of these.
DEPTH = 90


class SampleBudget:
    """What is left for one sample. Whatever exceeds it is a SchemaError that names the field."""

    def __init__(self, contract: Contract, characters: int, what: str) -> None:
        """`what` is the sample, such as `a sample request`."""
        self.contract, self.what = contract, what
        self.characters = 0
        self._most, self._steps = characters, 0
        self._around: list[tuple[Field, int]] = []  # the fields that are being written, and the steps before each

    @contextmanager
    def within(self, field: Field) -> Iterator[None]:
        """The field is written meanwhile, with all that is in it."""
        self._around.append((field, self._steps))
        yield
        self._around.pop()

    def step(self) -> None:
        """One more field is set or looked at. Raises SchemaError."""
        self._steps += 1
        if self._steps > STEPS and self._around:
            # Of the fields around, the innermost one that most of the work was for.
            large = [field for field, before in self._around if self._steps - before > STEPS // 2]
            raise self._refused(
                (large or [self._around[0][0]])[-1],
                f"{self.what} would have more than {STEPS} values here: messages contain others many times over",
                "write `required: false` on this field, or on fields of the messages in it",
            )

    def take(self, field: Field, characters: int) -> None:
        """So many more characters are written, for this field. Raises SchemaError."""
        self.characters += characters
        if self.characters > self._most:
            message = f"with this field {self.what} has more than {_size(self._most)}"
            raise self._refused(field, message, _smaller(field))

    def deeper(self, field: Field, levels: int) -> None:
        """The field holds a message that many messages are around. Raises SchemaError."""
        if levels > DEPTH:
            message = f"this message would be in {levels} others, and protobuf's parsers refuse more than 100"
            raise self._refused(field, message, "write `required: false` on this field, or nest fewer messages")

    def _refused(self, field: Field, message: str, remedy: str) -> SchemaError:
        where = field.where
        return SchemaError(self.contract.file, [Problem(where.line, where.column, where.path, message, remedy)])


def _size(characters: int) -> str:
    return f"{characters >> 20} MiB"


def _smaller(field: Field) -> str:
    """What makes the sample of a field smaller."""
    if field.dynamic:
        return "lower `min_items`, or write smaller sizes"
    if field.shape is not None:
        return "write smaller sizes, or name a dimension: it is small in samples"
    if field.min_items:
        return "lower `min_items`"
    if field.min_length:
        return "lower `min_length`"
    return "lower `min_items`, `min_length` or shapes of the fields here, or write `required: false`"
