"""One field in Python: its annotation, and the lines that read it from the wire and write it."""

from __future__ import annotations

import base64
import keyword
import math
from collections.abc import Iterator
from dataclasses import replace

from protoserve.emit import limit_code
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind, cast
from protoserve.wire import (
    Presence,
    absent_is_empty,
    is_message,
    is_required,
    least_items,
    may_be_none,
    packed,
    presence,
)

_ZEROS = {Kind.BOOL: "False", Kind.INT: "0", Kind.FLOAT: "0.0", Kind.STRING: '""', Kind.BYTES: 'b""'}
_CONVERTED = {Kind.TIMESTAMP: "timestamp", Kind.DURATION: "duration", Kind.JSON: "json"}


def annotation(contract: Contract, field: Field) -> str:
    """The type that the author sees."""
    scalar = field.scalar
    if field.shape is not None:
        kind = f"NDArray[np.{'bool_' if field.type == 'bool' else field.type}]"
    elif scalar is None:
        kind = field.type
    else:
        kind = "Json" if scalar.kind is Kind.JSON else scalar.python
    if field.is_map:
        key = SCALARS[field.key or "string"].python
        return f"dict[{key}, {kind}]"
    if field.repeated:
        return f"list[{kind}]"
    return f"{kind} | None" if may_be_none(field) and kind != "Json" else kind


def default(contract: Contract, field: Field) -> str | None:
    """What the field is when nobody sets it, as Python; None where it is required."""
    if field.repeated:
        return "_field(default_factory=list)"
    if field.is_map:
        return "_field(default_factory=dict)"
    if field.default is not None:
        return literal(contract, field, field.default)
    if presence(contract, field) is Presence.IMPLICIT and field.required and field.shape is None:
        zero = _zero(contract, field)
        if zero is not None:
            return zero
    return None if is_required(field) else "None"


def _zero(contract: Contract, field: Field) -> str | None:
    """What a field without presence is when nobody sets it; None where Python has no such value."""
    if field.scalar is not None:
        return _ZEROS.get(field.scalar.kind)
    enum = contract.enum(field.type)
    first = next((value.name for value in enum.values if value.number == 0), None) if enum is not None else None
    return None if first is None else literal(contract, field, first)


def literal(contract: Contract, field: Field, value: object) -> str:
    """A default or an example of the schema as a Python expression."""
    enum = contract.enum(field.type)
    if enum is not None:
        return f"{enum.name}.{enum.attribute(str(value))}"
    scalar = SCALARS[field.type]
    if scalar.kind is Kind.FLOAT:
        number = cast(scalar, float(str(value)))
        return repr(number) if math.isfinite(number) else f'float("{number}")'
    if scalar.kind is Kind.TIMESTAMP:
        return f"datetime.fromisoformat({str(value)!r})"
    if scalar.kind is Kind.DURATION:
        return f"timedelta(seconds={float(str(value).removesuffix('s'))!r})"
    if scalar.kind is Kind.BYTES:
        return repr(base64.b64decode(str(value)))
    return repr(value)


def _fstring(text: str) -> str:
    """A path, in which braces are places, as an f-string."""
    return f'f"{text}"'


def _sentence(condition: limit_code.Condition) -> str:
    wanted = repr(condition.wanted.replace("{", "{{").replace("}", "}}") + "; got ")
    quote = wanted[0]
    got = condition.got.replace('"', "'") if quote == '"' else condition.got  # Python 3.11 has no quote in its own
    return f"f{wanted[:-1]}{{{got}}}{quote}"


def _complaints(conditions: list[limit_code.Condition], path: str, first: str = "if") -> Iterator[str]:
    for condition in conditions:
        yield f"{first} {condition.broken}:"
        yield f"    bad.add({_fstring(path)}, {_sentence(condition)})"
        first = "elif"


def _convert(contract: Contract, field: Field, wire: str, path: str) -> str | None:
    """The Python value of one wire value; None when it is the same."""
    scalar = field.scalar
    if scalar is not None:
        kind = _CONVERTED.get(scalar.kind)
        return None if kind is None else f"reading.read_{kind}({wire}, {_fstring(path)}, bad)"
    enum = contract.enum(field.type)
    if enum is not None:
        names = "" if enum.exact else f', prefix="{enum.value_in_proto("")}"'
        if enum.exact and any(value.attribute != value.name for value in enum.members):
            names = f", names={', '.join(value.name for value in enum.members)!r}"
        return f"reading.read_enum({field.type}, {wire}, {_fstring(path)}, bad{names})"
    return f"read_{reserved_names.snake(field.type)}({wire}, {_fstring(path + '.')}, bad)"


def call(message: Message, value: str, method: str, *arguments: str) -> str:
    """A call of protobuf's own `method` of `value`, past a field of that name where the message has one."""
    listed = ", ".join(arguments)
    if all(field.name != method for field in message.fields):
        return f"{value}.{method}({listed})"
    return f"reading.kind_of({value}).{method}({', '.join([value, *arguments])})"


def _in_stub(field: Field) -> str:
    """The field of protoc's message, which Python cannot name where it is a keyword."""
    return f'getattr(message, "{field.name}")' if keyword.iskeyword(field.name) else f"message.{field.name}"


def _set_in_stub(field: Field, value: str) -> str:
    if keyword.iskeyword(field.name):
        return f'setattr(message, "{field.name}", {value})'
    return f"message.{field.name} = {value}"


def _copied(contract: Contract, field: Field, target: str, value: str) -> str:
    """The statement that copies a message into a field, or into an entry of a map."""
    inner = contract.message(field.type) if field.scalar is None else None
    return f"{target}.CopyFrom({value})" if inner is None else call(inner, target, "CopyFrom", value)


def _array_options(field: Field) -> str:
    low, high = limit_code.bounds(field) if field.type != "bool" else (None, None)
    given = "".join(f", {name}={value!r}" for name, value in (("low", low), ("high", high)) if value is not None)
    return f"{given}, allow_nan=True" if field.allow_nan else given


def _count_options(field: Field) -> str:
    least = "" if field.min_items is None else f", least={field.min_items}"
    return least + ("" if field.max_items is None else f", most={field.max_items}")


def _read_array(field: Field) -> str:
    wire, path = _in_stub(field), _fstring(f"{{prefix}}{field.name}")
    if field.dynamic:
        options = _count_options(field) + _array_options(field)
        return f'reading.read_tensor({wire}, "{field.type}", {field.shape!r}, sizes, {path}, bad{options})'
    return f'reading.read_array({wire}, "{field.type}", {field.shape!r}, {path}, bad{_array_options(field)})'


def _was_sent(contract: Contract, message: Message, field: Field) -> str | None:
    """The condition under which the field was sent; None when the message does not record it."""
    if absent_is_empty(contract, field):
        return _in_stub(field)
    explicit = presence(contract, field) is Presence.EXPLICIT
    return call(message, "message", "HasField", f'"{field.name}"') if explicit else None


def read(contract: Contract, message: Message, field: Field) -> Iterator[str]:
    """The statements that check a field and, where its Python value is another, leave it in `NAME_`."""
    name = field.attribute
    path = f"{{prefix}}{field.name}"
    if field.repeated or field.is_map:
        yield from _read_many(contract, message, field, path)
        return
    wire = _in_stub(field)
    converted = _read_array(field) if field.shape is not None else _convert(contract, field, wire, path)
    present = _was_sent(contract, message, field)
    needed = is_required(field)
    if converted is None:
        conditions = limit_code.conditions(contract, message, field, wire)
        if present is None:
            yield from _complaints(conditions, path)
        elif needed:
            yield f"if not {present}:"
            yield f"    bad.missing({_fstring(path)})"
            yield from _complaints(conditions, path, "elif")
        elif len(conditions) == 1:
            broken = conditions[0].broken
            both = f"({broken})" if " or " in broken else broken
            yield from _complaints([replace(conditions[0], broken=f"{present} and {both}")], path)
        elif conditions:
            yield f"if {present}:"
            yield from (f"    {line}" for line in _complaints(conditions, path))
    elif present is None:
        yield f"{name}_ = {converted}"
    else:
        otherwise = "None" if field.default is None else literal(contract, field, field.default)
        otherwise = f"bad.missing({_fstring(path)})" if needed else otherwise
        yield f"{name}_ = {converted} if {present} else {otherwise}"


def _read_many(contract: Contract, message: Message, field: Field, path: str) -> Iterator[str]:
    name, wire = field.attribute, _in_stub(field)
    count = ""
    if field.min_items or field.max_items is not None:
        limits = f"{field.min_items or 0}, {field.max_items}"
        count = f"reading.check_count(len({wire}), {limits}, {_fstring(path)}, bad)"
    key, item = f"{name}_key" if field.is_map else "index", f"{name}_item"
    place = f"{path}[{{{key}{'!r' if field.is_map else ''}}}]"
    items = f"{wire}.items()" if field.is_map else f"enumerate({wire})"
    converted = _convert(contract, field, item, place)
    conditions = limit_code.conditions(contract, message, field, item)
    if converted is not None:
        # A list that is far too long is not read at all.
        body, empty = (f"{{{key}: {converted}", "{}") if field.is_map else (f"[{converted}", "[]")
        read = f"{body} for {key}, {item} in {items}{empty[1]}"
        yield f"{name}_ = {read} if {count} else {empty}" if count else f"{name}_ = {read}"
    elif conditions:
        loop = [f"for {key}, {item} in {items}:", *(f"    {line}" for line in _complaints(conditions, place))]
        yield from [f"if {count}:", *(f"    {line}" for line in loop)] if count else loop
    elif count:
        yield count


def value(contract: Contract, message: Message, field: Field) -> str:
    """The expression for the field in the constructor of its message, after `read`."""
    wire = _in_stub(field)
    if field.shape is not None or _convert(contract, field, "", "") is not None:
        return f"{field.attribute}_"
    if field.is_map:
        return f"reading.read_map({wire})"
    if field.repeated:
        return f"reading.read_list({wire})"
    present = _was_sent(contract, message, field)
    if present is None or is_required(field):
        return wire
    otherwise = "None" if field.default is None else literal(contract, field, field.default)
    return f"{wire} if {present} else {otherwise}"


def write(contract: Contract, message: Message, field: Field) -> Iterator[str]:
    """The statements that check `value.NAME` and put it into `message`."""
    name = field.attribute
    path = f"{{prefix}}{field.name}"
    if field.repeated or field.is_map:
        yield from _write_many(contract, message, field, path)
        return
    lines = list(_write_array(field, path) if field.shape is not None else _write_one(contract, message, field, path))
    if is_required(field):
        yield from lines
        return
    yield f"if value.{name} is not None:"
    yield from (f"    {line}" for line in lines)


def can_be_large(field: Field) -> bool:
    """Whether the field may hold so many bytes that they are not copied into a message first."""
    if field.shape is not None:
        return True
    return field.type == "bytes" and not (field.repeated or field.is_map)


def _write_one(contract: Contract, message: Message, field: Field, path: str) -> Iterator[str]:
    expression = _wire(contract, message, field, f"value.{field.attribute}", path)
    if is_message(contract, field):
        yield _copied(contract, field, _in_stub(field), expression)
    elif can_be_large(field):
        yield f'writing.put_bytes(message, "{field.name}", {field.number}, {expression}, large)'
    else:
        yield _set_in_stub(field, expression)


def _wire(contract: Contract, message: Message, field: Field, source: str, path: str) -> str:
    scalar = field.scalar
    place = _fstring(path)
    if scalar is None:
        if contract.enum(field.type) is not None:
            return f"writing.write_enum({field.type}, {source}, {place})"
        return f"write_{reserved_names.snake(field.type)}({source}, {_fstring(path + '.')})"
    if scalar.kind is Kind.BOOL:
        return f"writing.write_bool({source}, {place})"
    if scalar.kind is Kind.INT:
        least, most = limit_code.integer_bounds(field)
        return f"writing.write_int({source}, {place}, {least}, {most})"
    if scalar.kind is Kind.FLOAT:
        low, high = limit_code.bounds(field)
        allow = ", allow_nan=True" if field.allow_nan else ""
        return f'writing.write_float({source}, {place}, "{scalar.name}", {low!r}, {high!r}{allow})'
    if scalar.kind in (Kind.STRING, Kind.BYTES):
        options = (
            f", {field.min_length or 0}" if field.min_length or field.max_length is not None or field.pattern else ""
        )
        options += f", {field.max_length}" if field.max_length is not None or field.pattern else ""
        options += f", {limit_code.pattern_name(message, field)}" if field.pattern else ""
        return f"writing.write_{scalar.python}({source}, {place}{options})"
    return f"writing.write_{_CONVERTED[scalar.kind]}({source}, {place})"


def _write_array(field: Field, path: str) -> Iterator[str]:
    low, high = limit_code.bounds(field) if field.type != "bool" else (None, None)
    options = f", {low!r}, {high!r}" if low is not None or high is not None else ""
    if field.dynamic:
        most = "" if field.max_items is None else f", most={field.max_items}"
        options += f", sizes=sizes, least={least_items(field)}{most}"
    options += ", allow_nan=True" if field.allow_nan else ""
    array = f'writing.write_array(value.{field.attribute}, {_fstring(path)}, "{field.type}", {field.shape!r}{options})'
    if field.dynamic:
        yield f"writing.pack_tensor(message, {field.number}, {_in_stub(field)}, {array}, large)"
    elif packed(field):
        yield f"writing.pack(message, {field.number}, {_in_stub(field)}, {array}, large)"
    else:
        yield f'writing.put_bytes(message, "{field.name}", {field.number}, {array}, large)'


def _write_many(contract: Contract, message: Message, field: Field, path: str) -> Iterator[str]:
    name, wire = field.attribute, _in_stub(field)
    bounded = f", {field.min_items or 0}, {field.max_items}" if field.min_items or field.max_items is not None else ""
    of_messages = is_message(contract, field)
    item = f"{name}_item"
    if field.is_map:
        key = f"{name}_key"
        yield f"for {key}, {item} in writing.write_map(value.{name}, {_fstring(path)}{bounded}).items():"
        expression = _wire(contract, message, field, item, f"{path}[{{{key}!r}}]")
        place = f"{wire}[{_map_key(field, key, path)}]"
        yield f"    {_copied(contract, field, place, expression) if of_messages else f'{place} = {expression}'}"
        return
    yield f"for index, {item} in enumerate(writing.write_items(value.{name}, {_fstring(path)}{bounded})):"
    yield f"    {wire}.append({_wire(contract, message, field, item, f'{path}[{{index}}]')})"


def _map_key(field: Field, key: str, path: str) -> str:
    kind = SCALARS[field.key or "string"]
    place = _fstring(f"{path} key")
    if kind.kind is Kind.INT:
        return f"writing.write_int({key}, {place}, {kind.low}, {kind.high})"
    return f"writing.write_{kind.python}({key}, {place})"
