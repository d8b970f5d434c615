"""What a request or a reply breaks of the contract, and the errors that report it.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

MAX_VIOLATIONS = 100


class Violation(NamedTuple):
    """One thing wrong with a request; `field` is its path, empty for the request as a whole."""

    field: str
    description: str


class InvalidRequest(ValueError):
    """The caller broke the contract: INVALID_ARGUMENT. A model may raise it too."""

    def __init__(self, description: str, *, field: str = "", others: Iterable[Violation] = ()) -> None:
        self.violations = (Violation(field, description), *others)
        super().__init__(
            "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in self.violations)
        )


RefusalCode = Literal[
    "ABORTED",
    "ALREADY_EXISTS",
    "CANCELLED",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN",
]
"""Status codes of gRPC for a call without a reply: https://grpc.io/docs/guides/status-codes/"""


class RequestRefused(Exception):
    """The model refuses a request, with a status code that callers act on, and a text for them.

    No failure of the model, unless the code is INTERNAL or UNAVAILABLE. Raises ValueError for an unknown code, and OK.
    """

    def __init__(self, code: RefusalCode, description: str) -> None:
        if code not in get_args(RefusalCode):
            raise ValueError(f"the code must be one of {', '.join(get_args(RefusalCode))}; got {code!r}")
        super().__init__(code, description)  # all arguments, so that it can come from another process
        self.code, self.description = code, description

    def __str__(self) -> str:
        return self.description


class InvalidReply(TypeError):
    """The model broke the contract: INTERNAL for the caller, this text for the log. `subject` is what is wrong."""

    def __init__(self, field: str, wanted: str, got: str, *, subject: str = "the model's reply") -> None:
        self.field, self.wanted, self.got, self.subject = field, wanted, got, subject
        super().__init__(f"{field}: wanted {wanted}, got {got}")


class Retired(NotImplementedError):
    """An older version's method that the server no longer answers: UNIMPLEMENTED, with this text for its callers."""


class ModelBroken(RuntimeError):
    """The model cannot answer anybody, says the model: UNAVAILABLE, with this text for callers.

    Health is NOT_SERVING from then on, until the model answers a sample request again.
    """


class Violations:
    """Collects what is wrong with one request, in the order of its fields, up to `MAX_VIOLATIONS`."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Records one violation; raises InvalidRequest when there are enough: a million bad items are not read."""
        self.items.append(Violation(field, description))
        if len(self.items) == MAX_VIOLATIONS:
            self.raise_if_any()

    def missing(self, field: str) -> Any:
        """Records that a required field is absent; returns None, which stands in for its value."""
        self.add(field, "is required")

    def raise_if_any(self) -> None:
        """Raises InvalidRequest with all that was recorded."""
        if self.items:
            first, *others = self.items
            raise InvalidRequest(first.description, field=first.field, others=others)


def shown(value: object) -> str:
    """A value for a log line or an error: short, and with its type where the type matters."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    if value is None:
        return "None"
    if isinstance(value, (list, tuple, dict, set)):
        return f"{type(value).__name__} of {len(value)}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
