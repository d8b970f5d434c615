"""Readable code that turns a model's outputs, numbers from 0 to 1, into a response: part of the seed of model.py."""

from __future__ import annotations

import math

from protoserve.emit import limit_code, samples
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import FLOAT16_MAX, FLOAT32_MAX, Kind
from protoserve.seeds.identifiers import SMALL, Seeded, ends

# A row of a reply that is wider than this repeats the outputs that it has.
ROW_OUTPUTS = 16


class Responses:
    """Collects the functions that build a contract's responses; `outputs` says how many numbers each takes."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.functions: dict[str, str] = {}
        self.helpers: set[str] = set()
        self.outputs: dict[str, int] = {}
        self._next = 0

    def add(self, seeded: Seeded) -> None:
        """Adds the function that makes the response of one method."""
        message = seeded.method.response
        if seeded.label is not None and seeded.scores is not None and seeded.enum is not None:
            enum = seeded.enum.name
            body = (
                f'    """The reply from one probability for each {enum}."""\n'
                f"    return {message.name}({seeded.label.name}=list({enum})[int(outputs.argmax())],"
                f" {seeded.scores.name}=outputs)\n"
            )
            self.outputs[seeded.attribute] = len(seeded.enum.members)
        elif seeded.rows:
            self.functions[seeded.response] = self._rows(seeded)
            return
        else:
            self._next = 0
            expression = self._message(message, (), last=seeded.ends)
            body = '    """The reply from the example model\'s outputs, which mean numbers from 0 to 1."""\n'
            if self._next:
                body += "    outputs = np.clip(outputs, 0.0, 1.0)\n"
            body += f"    return {expression}\n"
            self.outputs[seeded.attribute] = max(self._next, 1)
        last = ", *, last: bool" if seeded.ends else ""
        self.functions[seeded.response] = (
            f"def {seeded.response}(outputs: NDArray[Any]{last}) -> {message.name}:\n{body}"
        )

    def _rows(self, seeded: Seeded) -> str:
        """The function for a reply of rows: `outputs` has one row for each, every column a number from 0 to 1."""
        self._next = 0
        parts = []
        for field in seeded.method.response.fields:
            rest = tuple(int(size) for size in (field.shape or ())[1:])
            width = math.prod(rest)
            first, self._next = self._next, self._next + min(width, ROW_OUTPUTS)
            values = f"outputs[:, {first}:{self._next}]"
            if width > ROW_OUTPUTS:
                values = f"np.resize({values}.T, ({width}, len(outputs))).T"
            low, high = _span(field)
            if (low, high) != (0, 1):
                self.helpers.add("scale")
                values = f"scale({values}, {low!r}, {high!r})"
            parts.append(f"{field.name}={values}.reshape({', '.join(map(str, (-1, *rest)))})")
        self.outputs[seeded.attribute] = self._next
        name = seeded.method.response.name
        return (
            f"def {seeded.response}(outputs: NDArray[Any]) -> {name}:\n"
            f'    """The reply from the example model\'s outputs, a row for each of {seeded.rows}, from 0 to 1."""\n'
            f"    outputs = np.clip(outputs, 0.0, 1.0)\n    return {name}({', '.join(parts)})\n"
        )

    def _take(self, count: int = 1) -> str:
        first = self._next
        self._next += count
        return f"outputs[{first}]" if count == 1 else f"outputs[{first}:{self._next}]"

    def _message(self, message: Message, above: tuple[str, ...], *, last: bool = False) -> str:
        """`last` is true for a streamed response: what says something of the whole stands in the last one only."""
        parts = []
        for field in samples.filled(self.contract, message, above):
            only = " if last else None" if last and ends(field) else ""
            parts.append(f"{field.name}={self._field(field, (*above, message.name))}{only}")
        return f"{message.name}({', '.join(parts)})"

    def _field(self, field: Field, above: tuple[str, ...]) -> str:
        if field.shape is not None:
            return self._array(field)
        if field.is_map:
            keys = samples.keys(field)
            one = self._one(field, above) if keys else ""
            return "{" + ", ".join(f"{key!r}: {one}" for key in keys) + "}"
        if field.repeated:
            count = samples.amount(field)
            one = self._one(field, above) if count else ""
            return f"[{one}]" if count <= 1 else f"[{one}] * {count}"
        return self._one(field, above)

    def _one(self, field: Field, above: tuple[str, ...]) -> str:
        scalar = field.scalar
        if scalar is None:
            enum = self.contract.enum(field.type)
            if enum is not None:
                self.helpers.add("pick")
                return f"pick({self._take()}, list({enum.name}))"
            inner = self.contract.message(field.type)
            assert inner is not None  # the loader resolved every type
            return self._message(inner, above)
        if scalar.kind is Kind.FLOAT:
            low, high = _span(field)
            return f"float({self._take()})" if (low, high) == (0, 1) else f"float({self._scaled(low, high)})"
        if scalar.kind is Kind.INT:
            low, high = _span(field)
            return f"round({self._scaled(low, high)})"
        plain = {
            Kind.BOOL: "bool({} > 0.5)",
            Kind.TIMESTAMP: "datetime.fromtimestamp(1_767_225_600 + 86_400 * float({}), UTC)",
            Kind.DURATION: "timedelta(seconds=float({}))",
            Kind.JSON: '{{"score": float({})}}',
        }
        if scalar.kind in plain:
            return plain[scalar.kind].format(self._take())
        return self._text(field, scalar.kind)

    def _text(self, field: Field, kind: Kind) -> str:
        """Text that changes with the outputs where the limits let it, else a valid example."""
        low, high = field.min_length or 0, field.max_length
        if field.pattern is None and low <= 8 and (high is None or high >= 8):
            text = f'f"{{{self._take()}:.6f}}"'
            return text if kind is Kind.STRING else f"{text}.encode()"
        value = samples.scalar(self.contract, field)
        return repr(value) if kind is Kind.STRING else repr(samples.raw_bytes(field, value))

    def _array(self, field: Field) -> str:
        shape = samples.dimensions(field)
        if field.type == "bool":
            return f"np.full({shape!r}, bool({self._take()} > 0.5))"
        low, high = _span(field)
        size = field.size
        if size is not None and size <= SMALL and field.scalar is not None and field.scalar.kind is Kind.FLOAT:
            values = self._scaled(low, high, size) if (low, high) != (0, 1) else self._take(size)
            values = f"np.array([{values}])" if size == 1 else values
            return f"{values}.reshape({shape!r})"
        if field.scalar is not None and field.scalar.kind is Kind.INT:
            return f"np.full({shape!r}, round({self._scaled(low, high)}), np.{field.type})"
        return f"np.full({shape!r}, {self._scaled(low, high)}, np.{field.type})"

    def _scaled(self, low: float | int, high: float | int, count: int = 1) -> str:
        self.helpers.add("scale")
        return f"scale({self._take(count)}, {low!r}, {high!r})"


def _span(field: Field) -> tuple[float | int, float | int]:
    """The range in which replies lie: the limits, and where there are none a range of a sensible size."""
    low, high = limit_code.bounds(field)
    whole = field.scalar is not None and field.scalar.kind is Kind.INT
    room = 100 if whole else 1
    ceiling = {"float16": FLOAT16_MAX, "float32": FLOAT32_MAX}.get(
        field.type, field.scalar.high if field.scalar else None
    )
    if low is None and high is None:
        return 0, room
    if low is None and high is not None:
        low = high - room
    if high is None and low is not None:
        high = low + room if ceiling is None else min(low + room, ceiling)
    assert low is not None
    assert high is not None
    if whole and field.scalar is not None and field.scalar.low is not None:
        low = max(int(low), int(field.scalar.low))
        high = min(int(high), low + 2**50)  # beyond, a float between the two is not exact
    return low, high


HELPERS = {
    "scale": '''def scale(output: Any, low: float, high: float) -> Any:
    """From 0..1 to low..high, and never beyond."""
    return np.clip(low + (high - low) * output, low, high)
''',
    "pick": '''def pick(output: float, values: list[E]) -> E:
    """The value whose equal share of 0..1 holds the output."""
    return values[min(int(output * len(values)), len(values) - 1)]
''',
}
