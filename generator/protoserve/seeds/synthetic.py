"""Readable code that draws random requests from a contract's types and limits: part of the seed of train.py."""

from __future__ import annotations

from collections.abc import Iterator

from protoserve.emit import limit_code, samples
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.seeds.features import is_image

_OPTIONAL_SHARE = 0.8

RANDOM_IMAGE = '''def random_image(rng: np.random.Generator) -> bytes:
    """A PNG file of eight by eight pixels in shades around one colour."""
    pixels = np.clip(rng.normal(rng.uniform(0, 255, 3), 40, (8, 8, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()
'''


class Synthetic:
    """Collects the functions that draw random messages."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.functions: dict[str, str] = {}

    def add(self, message: Message, name: str, above: tuple[str, ...] = ()) -> None:
        """Adds the function `name`, which draws one message."""
        filled = samples.filled(self.contract, message, above)
        parts = [
            f"{field.name}={self._field(field, (*above, message.name))}" for field in filled if field.oneof is None
        ]
        drawn = f"{message.name}({', '.join(parts)})"
        head = f"def {name}(rng: np.random.Generator) -> {message.name}:\n"
        if not message.oneofs:
            self.functions[name] = f"{head}    return {drawn}\n"
            return
        inside = (*above, message.name)
        choices = [line for members in message.oneofs.values() for line in self._choice(members, inside)]
        body = "\n".join(f"    {line}" for line in (f"drawn = {drawn}", *choices, "return drawn"))
        self.functions[name] = f"{head}{body}\n"

    def _choice(self, members: tuple[Field, ...], above: tuple[str, ...]) -> Iterator[str]:
        """Statements that set one member of a oneof, each as often as the others."""
        able = [field for field in members if not samples.recurses(self.contract, field, above)] or list(members[:1])
        if len(able) == 1:
            yield f"drawn.{able[0].name} = {self._field(able[0], above)}"
            return
        yield f"match rng.integers({len(able)}):"
        for index, field in enumerate(able):
            yield f"    case {index if index < len(able) - 1 else '_'}:"
            yield f"        drawn.{field.name} = {self._field(field, above)}"

    def _field(self, field: Field, above: tuple[str, ...]) -> str:
        one = self._array(field) if field.shape is not None else self._one(field, above)
        if field.is_map:
            return "{" + ", ".join(f"{key!r}: {one}" for key in samples.keys(field)) + "}"
        if field.repeated:
            least, most = field.min_items or 0, field.max_items
            most = least + 3 if most is None else min(most, least + 3)
            return f"[{one} for _ in range(rng.integers({least}, {most}, endpoint=True))]"
        if field.required or field.default is not None or field.oneof is not None:
            return one
        return f"{one} if rng.random() < {_OPTIONAL_SHARE} else None"

    def _one(self, field: Field, above: tuple[str, ...]) -> str:
        scalar = field.scalar
        if scalar is None:
            enum = self.contract.enum(field.type)
            if enum is not None:
                return f"list({enum.name})[rng.integers({len(enum.members)})]"
            inner = self.contract.message(field.type)
            assert inner is not None  # the loader resolved every type
            name = f"random_{reserved_names.snake(inner.name)}"
            if name not in self.functions:
                self.add(inner, name, above)
            return f"{name}(rng)"
        if scalar.kind is Kind.FLOAT:
            return f"float({_uniform(field)})"
        if scalar.kind is Kind.INT:
            low, high = _whole(field)
            return f"int(rng.integers({low}, {high}, endpoint=True))"
        plain = {
            Kind.BOOL: "bool(rng.random() < 0.5)",
            Kind.TIMESTAMP: "datetime.fromtimestamp(1_767_225_600 + int(rng.integers(86_400)), UTC)",
            Kind.DURATION: "timedelta(seconds=float(rng.random()))",
            Kind.JSON: '{"value": float(rng.random())}',
        }
        return plain.get(scalar.kind) or self._text(field, scalar.kind)

    def _text(self, field: Field, kind: Kind) -> str:
        if is_image(field):
            self.functions["random_image"] = RANDOM_IMAGE
            return "random_image(rng)"
        low, high = field.min_length or 0, field.max_length
        if field.pattern is None and low <= 8 and (high is None or high >= 8):
            text = 'f"{rng.integers(100):03d} {rng.integers(100):04d}"'
            return text if kind is Kind.STRING else f"{text}.encode()"
        value = samples.scalar(self.contract, field)
        return repr(value) if kind is Kind.STRING else repr(samples.raw_bytes(field, value))

    def _array(self, field: Field) -> str:
        shape = samples.dimensions(field)
        if field.type == "bool":
            return f"rng.random({shape!r}) < 0.5"
        if SCALARS[field.type].kind is Kind.INT:
            low, high = _whole(field)
            return f"rng.integers({low}, {high}, {shape!r}, endpoint=True).astype(np.{field.type})"
        return f"({_uniform(field, shape)}).astype(np.{field.type})"


def _whole(field: Field) -> tuple[int, int]:
    """The integers to draw from: the limits, as far as a random generator of int64 can draw them."""
    low, high = limit_code.integer_bounds(field)
    if field.type == "uint8" and field.shape is not None:
        return low, high
    if field.minimum is None:
        low = max(low, 0) if field.maximum is None or high >= 0 else max(low, high - 100)
    if field.maximum is None:
        high = min(high, low + 100)
    low = min(low, 2**62)
    return low, min(high, 2**62)


def _uniform(field: Field, shape: tuple[int, ...] | None = None) -> str:
    low, high = limit_code.bounds(field)
    size = "" if shape is None else f", {shape!r}"
    if low is None and high is None:
        return f"rng.normal(size={shape!r})" if shape is not None else "rng.normal()"
    if low is None and high is not None:
        low = high - 10
    if high is None and low is not None:
        high = low + 10
    return f"rng.uniform({low!r}, {high!r}{size})"
