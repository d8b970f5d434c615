"""A Python expression that turns a model's outputs into a reply, for the `response` function of model.py."""

from __future__ import annotations

import math

from protoserve.emit import limit_code, samples
from protoserve.schema.model import Contract, Field, Method
from protoserve.schema.types import Kind
from protoserve.wire import may_be_none

# An array of a reply takes at most this many outputs, and repeats them to fill its shape.
ARRAY_OUTPUTS = 16


class ReplyCode(samples.PythonCode):
    """The reply of one method, as an `expression` over `outputs`: an array of `count` numbers from 0 to 1.

    Numbers, enums and free text follow the outputs; everything else is the contract's sample value.
    """

    def __init__(self, contract: Contract, method: Method) -> None:
        super().__init__(contract)
        self._method = method
        self._taken = 0
        self.expression = self.message(method.response)
        self.count = max(self._taken, 1)

    def field(self, field: Field, above: tuple[str, ...]) -> str:
        value = super().field(field, above)
        is_outermost = len(above) == 1
        return f"{value} if last else None" if is_outermost and at_end_of_stream(self._method, field) else value

    def scalar(self, field: Field) -> str:
        enum = self.contract.enum(field.type)
        if enum is not None:
            return f"list({enum.name})[round({len(enum.members) - 1} * {self._outputs()})]"
        match field.scalar and field.scalar.kind:
            case Kind.FLOAT:
                return self._number(field)
            case Kind.INT:
                return f"round({self._number(field)})"
            case Kind.BOOL:
                return f"bool({self._outputs()} > 0.5)"
            case Kind.STRING if _free_text(field):
                return f'f"{{{self._outputs()}:.6f}}"'
        return super().scalar(field)

    def array(self, field: Field) -> str:
        sizes = [
            str(size) if isinstance(size, int) else self._size(str(size), default)
            for size, default in zip(field.shape or (), samples.dimensions(field), strict=True)
        ]
        count = min(math.prod(size for size in field.shape or () if isinstance(size, int)), ARRAY_OUTPUTS)
        shape = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
        if field.type == "bool":
            return f"np.resize({self._outputs(count)} > 0.5, {shape})"
        array = f"np.resize({self._number(field, count)}, {shape})"
        whole = field.scalar is not None and field.scalar.kind is Kind.INT
        return f"{array}.astype(np.{field.type})" if whole else array

    def _size(self, dimension: str, default: int) -> str:
        """The size of a named dimension: that of the request's field with the same dimension, where there is one."""
        for field in self._method.request.fields:
            if field.repeated and field.name == dimension:
                return f"len(request.{field.attribute})"
            if dimension in (field.shape or ()) and not may_be_none(field):
                return f"request.{field.attribute}.shape[{(field.shape or ()).index(dimension)}]"
        return str(default)

    def _number(self, field: Field, count: int = 1) -> str:
        low, high = value_range(field)
        outputs = self._outputs(count)
        if (low, high) == (0, 1):
            return outputs if field.shape is not None else f"float({outputs})"
        return f"scale({outputs}, {low!r}, {high!r})"

    def _outputs(self, count: int = 1) -> str:
        """The next outputs: one number, or an array of several."""
        first = self._taken
        self._taken += count
        return f"outputs[{first}]" if count == 1 else f"outputs[{first}:{self._taken}]"


def at_end_of_stream(method: Method, field: Field) -> bool:
    """Whether the field is for the last reply of a stream alone: it is optional, as a finish reason is."""
    single = not (field.repeated or field.is_map or field.oneof)
    return method.streaming and single and may_be_none(field)


def value_range(field: Field) -> tuple[float | int, float | int]:
    """The limits of a number; one that is missing is set so that the range has a sensible width."""
    scalar = field.scalar
    assert scalar is not None
    assert scalar.low is not None
    assert scalar.high is not None
    low, high = limit_code.bounds(field)
    width = 100 if scalar.kind is Kind.INT else 1
    if low is None:
        low = 0 if high is None or high > 0 else max(high - width, scalar.low)
    if high is None:
        high = min(low + width, scalar.high)
    if scalar.kind is Kind.INT:
        high = min(high, low + 2**50)  # a float cannot reach every integer of a wider range
    return low, high


def _free_text(field: Field) -> bool:
    """Whether a text of eight characters is valid, so that an output can be written into it."""
    return (
        field.pattern is None and (field.min_length or 0) <= 8 and (field.max_length is None or field.max_length >= 8)
    )
