"""What the seeds of model.py and train.py call things, a method at a time."""

from __future__ import annotations

from dataclasses import dataclass

from protoserve.contract import names
from protoserve.contract.model import Contract, Enum, Field, Method


@dataclass(frozen=True, slots=True)
class Seeded:
    """One method as the seeds see it.

    `label` and `scores` are set when the reply is a classification: an enum, and one float per value of it.
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

    @property
    def classify(self) -> bool:
        return self.label is not None


def seeded(contract: Contract) -> list[Seeded]:
    """The methods with the names of their helper functions; plain ones where there is only one method."""
    return [_one(contract, method, alone=len(contract.methods) == 1) for method in contract.methods]


def _one(contract: Contract, method: Method, *, alone: bool) -> Seeded:
    attribute = names.snake(method.name)
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
    )


def _classification(contract: Contract, method: Method) -> tuple[Field | None, Field | None, Enum | None]:
    """The two fields of a reply that is one enum and a probability for each of its values."""
    fields = method.response.fields
    labels = [field for field in fields if contract.enum(field.type) and not (field.repeated or field.is_map)]
    scores = [field for field in fields if field.shape is not None and field.type in ("float32", "float64")]
    if method.streaming or len(fields) != 2 or len(labels) != 1 or len(scores) != 1:
        return None, None, None
    enum = contract.enum(labels[0].type)
    wide = scores[0].minimum in (None, 0) and scores[0].maximum in (None, 1)
    if enum is None or scores[0].shape != (len(enum.values),) or not wide or any(field.oneof for field in fields):
        return None, None, None
    return labels[0], scores[0], enum
