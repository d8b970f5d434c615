"""What an answer must be, in words: "port must be from 8000 to 9999, not 7000"."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import ValidationError

from protoserve.platform.printing import printable

# What stands for the keyword of an error about an answer whose schema is `false`; jsonschema's own errors have None.
FALSE = "false"
# The keywords whose errors have the name of the missing answer as their message.
MISSING = ("required", "dependentRequired")
_LONGEST = 60  # characters of an answer in a message
_TYPES = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


def message(name: str, error: ValidationError, *, secret: bool) -> str:
    """What the rule asks of the answer `name`, or of several if it is empty, and what the answer is."""
    if error.validator in MISSING:
        return f"{name} must be answered"
    if "propertyNames" in error.absolute_schema_path:
        return f"the name {_shown(error.instance)} of an answer must {_requirement(error)}"
    if error.validator in (FALSE, None):  # the schema is `false`
        return f"{name or 'this'} must not be answered" if len(error.absolute_path) < 2 else _inner(name, "be left out")
    requirement = _requirement(error)
    is_inner = len(error.absolute_path) > 1
    if not name:
        return f"the answers together must {requirement}"
    shown = "" if secret or requirement.startswith("not ") else f", not {_shown(error.instance)}"
    return (_inner(name, requirement) if is_inner else f"{name} must {requirement}") + shown


def _inner(name: str, requirement: str) -> str:
    return f"each of {name} must {requirement}"


def _requirement(error: ValidationError) -> str:
    """What follows "must"."""
    value: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "enum":
            return f"be {_alternatives(value)}"
        case "const":
            return f"be {_shown(value)}"
        case "type":
            return (
                f"be {' or '.join(_TYPES.get(item, item) for item in ([value] if isinstance(value, str) else value))}"
            )
        case "minimum" | "maximum" if {"minimum", "maximum"} <= schema.keys():
            low, high = _shown(schema["minimum"]), _shown(schema["maximum"])
            return f"be {low}" if low == high else f"be from {low} to {high}"
        case "minLength" if value == 1:
            return "not be empty"
        case "items" if value is False:
            return "list nothing else"
        case "contains":
            return _containing(value)
        case "not":
            return _negated(value)
        case "anyOf" | "oneOf" if error.context:
            return _one_of(error)
    simple = _SIMPLE.get(str(error.validator))
    return simple.format(_shown(value)) if simple else f"satisfy {error.validator}: {_shown(value)}"


_SIMPLE = {
    "minimum": "be at least {}",
    "maximum": "be at most {}",
    "exclusiveMinimum": "be more than {}",
    "exclusiveMaximum": "be less than {}",
    "multipleOf": "be a multiple of {}",
    "pattern": "match {}",
    "minLength": "be at least {} characters long",
    "maxLength": "be at most {} characters long",
    "minItems": "list at least {}",
    "maxItems": "list at most {}",
    "minProperties": "be {} or more",
    "maxProperties": "be {} or fewer",
    "uniqueItems": "list each only once",
    "oneOf": "satisfy exactly one of {}",
}


def _containing(schema: Any) -> str:
    if isinstance(schema, dict) and "enum" in schema:
        return f"contain {_alternatives(schema['enum'])}"
    if isinstance(schema, dict) and "const" in schema:
        return f"contain {_shown(schema['const'])}"
    return f"contain what satisfies {_shown(schema)}"


def _negated(schema: Any) -> str:
    if isinstance(schema, dict) and "enum" in schema:
        return f"not be {_alternatives(schema['enum'])}"
    if isinstance(schema, dict) and "const" in schema:
        return f"not be {_shown(schema['const'])}"
    if isinstance(schema, dict) and "pattern" in schema:
        return f"not match {_shown(schema['pattern'])}"
    if isinstance(schema, dict) and schema.keys() == {"required"}:
        return f"not have {' with '.join(map(_shown, schema['required']))}"
    return f"not satisfy {_shown(schema)}"


def _one_of(error: ValidationError) -> str:
    """What each of the alternatives asks first."""
    first: dict[Any, str] = {}
    for inner in error.context or ():
        first.setdefault(inner.relative_schema_path[0], _of_alternative(inner))
    return ", or ".join(dict.fromkeys(first.values()))


def _of_alternative(error: ValidationError) -> str:
    """The requirement with the answer's name, if the alternatives are about several answers."""
    if error.validator in MISSING:
        return f"have {error.message}"
    requirement = "be left out" if error.validator in (FALSE, None) else _requirement(error)
    return f"have {error.relative_path[0]} that must {requirement}" if error.relative_path else requirement


def _alternatives(values: Any) -> str:
    shown = [_shown(value) for value in values] or ["left out"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _shown(value: Any) -> str:
    """A value as people write it, on one line and not too long."""
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        text = f"[{', '.join(map(str, value))}]"
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = printable(text) or "empty"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
