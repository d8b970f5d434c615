"""Readable code that turns a request into a row of numbers: part of the seed of model.py."""

from __future__ import annotations

from dataclasses import replace

from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import Kind
from protoserve.seeds.identifiers import SMALL, Seeded, per_row
from protoserve.wire import may_be_none

_STATISTICS = ("mean", "std", "min", "max")
# A text becomes this many counts of hashed words.
WORDS = 8


class Features:
    """Collects the functions that the features of a contract's requests need."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.functions: dict[str, str] = {}
        self.helpers: set[str] = set()

    def add(self, item: Seeded) -> None:
        """Adds the function that takes the request of one method."""
        message, name = item.method.request, item.features
        if item.rows:
            self.functions[name] = self._rows(message, name, item.rows)
            return
        row, _ = self._row(message, "request", (message.name,))
        self.functions[name] = (
            f"def {name}(request: {message.name}) -> list[float]:\n"
            f'    """One row of numbers for the model, of the same length for every request."""\n'
            f"    return [{', '.join(row) or '0.0'}]\n"
        )

    def _rows(self, message: Message, name: str, dimension: str) -> str:
        """The function for a request that has several rows; what it has once goes with each of them."""
        carriers = [field for field in message.fields if per_row(field, dimension)]
        shared, _ = self._row(
            replace(message, fields=tuple(f for f in message.fields if f not in carriers)), "request", ()
        )
        loop = ", ".join(f"{field.name}_row" for field in carriers)
        values = ", ".join(f"request.{field.name}" for field in carriers)
        source = f"zip({values}, strict=True)" if len(carriers) > 1 else values
        row = ", ".join(self._one_row(field, f"{field.name}_row") for field in carriers)
        lines = [
            f"def {name}(request: {message.name}) -> list[list[float]]:",
            f'    """A row of numbers for the model for each of the request\'s {dimension}."""',
        ]
        if shared:
            lines.append(f"    shared = [{', '.join(shared)}]")
            row += ", *shared"
        return "\n".join([*lines, f"    return [[{row}] for {loop} in {source}]\n"])

    def _one_row(self, field: Field, value: str) -> str:
        if field.type == "string":
            self.helpers.add("words")
            return f"*words({value})"
        clean = f"np.nan_to_num({value})" if field.allow_nan else value
        return f"float({clean})" if len(field.shape or ()) == 1 else f"*{clean}.ravel().astype(float).tolist()"

    def _row(self, message: Message, value: str, above: tuple[str, ...]) -> tuple[list[str], int]:
        """Expressions (some starred) and how many numbers they give."""
        expressions: list[str] = []
        count = 0
        for field in message.fields:
            found, size = self._field(field, f"{value}.{field.name}", above)
            expressions += found
            count += size
        return expressions, count

    def _field(self, field: Field, value: str, above: tuple[str, ...]) -> tuple[list[str], int]:
        if field.shape is not None:
            return self._array(field, value)
        if field.is_map:
            return self._many(field, f"list({value}.values())", above)
        if field.repeated:
            return self._many(field, value, above)
        absent = may_be_none(field)
        inner = self.contract.message(field.type) if field.scalar is None else None
        if is_image(field):
            self.helpers |= {"image", "statistics"}
            return [f'*statistics(image({value}, "{field.name}"))'], len(_STATISTICS)
        if field.type == "string":
            self.helpers.add("words")
            return [f"*words({value})"], WORDS
        if inner is None:
            return [self._number(field, value, absent=absent)], 1
        if inner.name in above:
            return [], 0
        name, size = self._message(inner, above)
        call = f"{name}({value})"
        return [f"*({call} if {value} is not None else [0.0] * {size})" if absent else f"*{call}"], size

    def _message(self, message: Message, above: tuple[str, ...]) -> tuple[str, int]:
        parameter = reserved_names.snake(message.name)
        name = f"{parameter}_features"
        row, size = self._row(message, parameter, (*above, message.name))
        self.functions[name] = (
            f"def {name}({parameter}: {message.name}) -> list[float]:\n    return [{', '.join(row) or '0.0'}]\n"
        )
        return name, max(size, 1)

    def _many(self, field: Field, value: str, above: tuple[str, ...]) -> tuple[list[str], int]:
        inner = self.contract.message(field.type) if field.scalar is None else None
        length = f"float(len({value}))"
        if field.type == "string":
            self.helpers |= {"words", "mean_row"}
            return [length, f"*mean_row([words(item) for item in {value}], {WORDS})"], WORDS + 1
        if inner is None:
            self.helpers.add("mean")
            one = self._number(field, "item", absent=False)
            values = value if one == "item" else f"[{one} for item in {value}]"
            return [length, f"mean({values})"], 2
        if inner.name in above:
            return [length], 1
        name, size = self._message(inner, above)
        self.helpers.add("mean_row")
        return [length, f"*mean_row([{name}(item) for item in {value}], {size})"], size + 1

    def _array(self, field: Field, value: str) -> tuple[list[str], int]:
        absent = may_be_none(field)
        clean = f"np.nan_to_num({value})" if field.allow_nan else value
        size = field.size
        if size is not None and size <= SMALL:
            row = f"*{clean}.ravel().astype(float).tolist()"
            zeros = f"*({row[1:]} if {value} is not None else [0.0] * {size})"
            return [zeros if absent else row], size
        self.helpers.add("statistics")
        return [f"*statistics({clean if not absent or not field.allow_nan else value})"], len(_STATISTICS)

    def _number(self, field: Field, value: str, *, absent: bool) -> str:
        scalar = field.scalar
        if scalar is None:
            return f"float({value} or 0)" if absent else f"float({value})"
        if scalar.kind is Kind.FLOAT:
            plain = f"{value} or 0.0" if absent else value
            if field.allow_nan:
                self.helpers.add("finite")
                return f"finite({plain})"
            return f"({plain})" if absent else plain
        if scalar.kind in (Kind.INT, Kind.BOOL):
            return f"float({value} or 0)" if absent else f"float({value})"
        if scalar.kind is Kind.TIMESTAMP:
            return f"({value}.timestamp() if {value} else 0.0)" if absent else f"{value}.timestamp()"
        if scalar.kind is Kind.DURATION:
            return f"({value}.total_seconds() if {value} else 0.0)" if absent else f"{value}.total_seconds()"
        self.helpers.add("number")
        return f"number({value})"


def is_image(field: Field) -> bool:
    """Whether the field holds an image file, which the example model decodes."""
    return field.type == "bytes" and (field.media_type or "").startswith("image/")


HELPERS = {
    "number": '''def number(value: object) -> float:
    """A number from 0 to 1 that stands for bytes or for JSON. A real model would look inside."""
    return zlib.crc32(repr(value).encode()) / 2**32
''',
    "finite": '''def finite(value: float) -> float:
    """A number that any model can compute with, for one that may be NaN or infinite."""
    return float(np.clip(np.nan_to_num(value), -1e9, 1e9))
''',
    "words": '''def words(text: str | None) -> list[float]:
    """How often each of eight groups of words is in a text. A real model would embed it."""
    counts = [0.0] * 8
    for word in (text or "").lower().split():
        counts[zlib.crc32(word.encode()) % 8] += 1.0
    return counts
''',
    "image": '''def image(data: bytes | None, field: str) -> NDArray[Any] | None:
    """The pixels of an image file; one that is none is its sender's mistake."""
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidRequest("must be an image file that can be decoded", field=field) from error
''',
    "mean": """def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
""",
    "mean_row": """def mean_row(rows: list[list[float]], size: int) -> list[float]:
    return [float(value) for value in np.mean(rows, axis=0)] if rows else [0.0] * size
""",
    "statistics": '''def statistics(array: NDArray[Any] | None) -> list[float]:
    """What the example model sees of a large array. A real model would take the array itself."""
    if array is None or array.size == 0:
        return [0.0] * 4
    values = array.astype(float)
    return [float(np.nan_to_num(value)) for value in (values.mean(), values.std(), values.min(), values.max())]
''',
}
