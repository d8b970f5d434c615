"""What the seeds of model.py and train.py call things, a method at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Enum, Field, Method
from protoserve.schema.types import Kind
from protoserve.wire import is_required

# Small arrays become one feature an element, of larger ones the example model sees a few statistics.
SMALL = 16


@dataclass(frozen=True, slots=True)
class Seeded:
    """One method as the seeds see it.

    `label` and `scores` are set when the reply is a classification: an enum, and one float per value of it. The model
    gives `outputs` numbers for a row; its files in the artifact are called `files`, without their suffix. `rows` names
    the dimension of which a request has several and the reply has a row of numbers for each, else it is empty.
    """

    method: Method
    attribute: str
    features: str
    response: str
    random: str
    dataset: str
    label: Field | None
    scores: Field | None
    enum: Enum | None
    rows: str = ""
    outputs: int = 1
    files: tuple[str, ...] = ()

    @property
    def classify(self) -> bool:
        return self.label is not None

    @property
    def ends(self) -> bool:
        """Whether the last response of a stream has fields that the others lack."""
        return self.method.streaming and any(ends(field) for field in self.method.response.fields)


def ends(field: Field) -> bool:
    """Whether a field of a streamed response says something of the whole: it is optional, as a finish reason is."""
    plain = not (field.repeated or field.is_map or field.oneof)
    return plain and not field.required and field.default is None


def per_row(field: Field, dimension: str) -> bool:
    """Whether a field of a request has something for each of `dimension`: a list of texts, or a tensor of rows."""
    if field.repeated:
        return field.name == dimension and field.type == "string"
    shape = field.shape or ()
    small = all(isinstance(size, int) for size in shape[1:]) and math.prod(map(int, shape[1:])) <= SMALL
    return shape[:1] == (dimension,) and small and is_required(field)


def seeded(contract: Contract) -> list[Seeded]:
    """The methods with the names of their helper functions; plain ones where there is only one method."""
    return [_one(contract, method, alone=len(contract.methods) == 1) for method in contract.methods]


def _one(contract: Contract, method: Method, *, alone: bool) -> Seeded:
    attribute = reserved_names.snake(method.name)
    before = "" if alone else f"{attribute}_"
    label, scores, enum = _classification(contract, method)
    return Seeded(
        method,
        attribute,
        f"{before}features",
        f"{before}response",
        f"random_{before}request",
        f"{before}dataset",
        label,
        scores,
        enum,
        _rows(method),
    )


def _rows(method: Method) -> str:
    """The dimension of the method whose reply is nothing but rows of floats, one for each that the request has."""
    leading = set()
    for field in method.response.fields:
        shape, scalar = field.shape or (), field.scalar
        if not shape or scalar is None or scalar.kind is not Kind.FLOAT or field.oneof is not None:
            return ""
        if any(isinstance(size, str) for size in shape[1:]):
            return ""
        leading.add(shape[0])
    if method.streaming or len(leading) != 1:
        return ""
    (name,) = leading
    return str(name) if any(per_row(field, str(name)) for field in method.request.fields) else ""


def _classification(contract: Contract, method: Method) -> tuple[Field | None, Field | None, Enum | None]:
    """The two fields of a reply that is one enum and a probability for each of its values."""
    fields = method.response.fields
    labels = [field for field in fields if contract.enum(field.type) and not (field.repeated or field.is_map)]
    scores = [field for field in fields if field.shape is not None and field.type in ("float32", "float64")]
    if method.streaming or len(fields) != 2 or len(labels) != 1 or len(scores) != 1:
        return None, None, None
    enum = contract.enum(labels[0].type)
    wide = scores[0].minimum in (None, 0) and scores[0].maximum in (None, 1)
    if enum is None or len(enum.members) < 2 or scores[0].shape != (len(enum.members),):
        return None, None, None
    if not wide or any(field.oneof for field in fields):
        return None, None, None
    return labels[0], scores[0], enum
