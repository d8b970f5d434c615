"""The rules of answers: a JSON Schema over all of a project's answers, judged by jsonschema.

An answer is recorded as what its question makes of it: a port is the text "9000" in one project and the number 9000 in
another, a list may be typed as `[a, b]`. So each keyword sees the form that it is about, which is the only conversion:

- `minimum`, `maximum`, `multipleOf` and the like see the number that a text spells;
- `pattern`, `minLength` and `maxLength` see the text of a number;
- `items`, `contains`, `minItems` and the like see the list that `[a, b]` spells;
- `enum` and `const` compare the forms, `type` accepts a value one of whose forms has the type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry

from protoserve.platform import answers as recorded_answers
from protoserve.platform.yaml_tree import resolve
from protoserve.policy import words
from protoserve.policy.model import ANSWERS, Violation
from protoserve.policy.patterns import searched

WHY = "why"
_MOST = 100  # violations of one project
_LONGEST = 20_000  # characters of an answer in JSON
_MOST_DIGITS = 40
_TOO_LARGE = "(not a plain answer, or too large)"
_NOTHING: Registry[Any] = Registry()  # what a schema can refer to
_NOT_ANSWERS = ("created",)  # what a project records beside its answers and Copier's own keys
# The keywords that hold schemas: one, several by name, or several in a list.
ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
BY_NAME = ("dependentSchemas", "patternProperties", "properties")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXTUAL = ("minLength", "maxLength")
_OF_LISTS = ("items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems")
ASSERTIONS = (
    *(*ONE, *BY_NAME, *LISTED, *_NUMERIC, *_TEXTUAL, *_OF_LISTS, "type", "enum", "const", "pattern"),
    *("required", "dependentRequired", "minProperties", "maxProperties", "minContains", "maxContains"),
)
KEYWORDS = (*dict.fromkeys(ASSERTIONS), WHY, "title", "description", "$comment", "examples", "deprecated")


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the schema that can be judged once `names` are answered; None if that is when all are."""

    schema: dict[str, Any]
    names: frozenset[str] | None


class AnswerRules:
    """A schema that is valid and asks for nothing from elsewhere; answers to `secrets` are never shown."""

    def __init__(self, schema: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> None:
        self._schema = schema
        self._secrets = secrets

    @cached_property
    def _parts(self) -> list[_Part]:
        return list(_parts(self._schema))

    def violations(self, answers: Mapping[str, Any]) -> list[Violation]:
        """What all answers break, in the order of the schema."""
        return self._judge(self._parts, _judged(answers))

    def violations_at(self, name: str, answers: Mapping[str, Any]) -> list[Violation]:
        """What the answer to one question breaks, by the rules whose answers are all given with it."""
        known = _judged(answers)
        complete = [part for part in self._parts if part.names is not None and name in part.names <= known.keys()]
        return self._judge(complete, known)

    def _judge(self, parts: Iterable[_Part], answers: Mapping[str, Any]) -> list[Violation]:
        broken: dict[tuple[str, str], Violation] = {}
        for part in parts:
            for error in _Validator(part.schema, registry=_NOTHING).iter_errors(answers):
                item = self._violation(part.schema, error)
                broken.setdefault((item.rule, item.message), item)
                if len(broken) >= _MOST:
                    return list(broken.values())
        return list(broken.values())

    def _violation(self, schema: Mapping[str, Any], error: ValidationError) -> Violation:
        name = _name(error)
        message = words.message(name, error, secret=name in self._secrets)
        rule = f"{ANSWERS}.{name}" if name else ANSWERS
        remedy = recorded_answers.FIXED.get(name) or f"protoserve update --set {name or 'KEY'}=VALUE"
        return Violation(rule, recorded_answers.FILE, message, _why(schema, error), remedy)


def _judged(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers as JSON has them, without what a project records beside them."""
    return {
        name: _plain(value) for name, value in answers.items() if not name.startswith("_") and name not in _NOT_ANSWERS
    }


def _plain(value: Any) -> Any:
    """An answer as plain JSON: what others recorded may be large, have keys that are no texts, or not be a number."""
    try:
        text = json.dumps(value, default=str)
        if len(text) <= _LONGEST:
            return json.loads(text, parse_constant=str, parse_int=_integer)
    except (TypeError, ValueError):
        pass
    return _TOO_LARGE


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _name(error: ValidationError) -> str:
    """The answer that an error is about, empty for one that is about several."""
    if error.absolute_path:
        return str(error.absolute_path[0])
    return error.message if error.validator in words.MISSING else ""


def _why(schema: Any, error: ValidationError) -> str:
    """The nearest `why` at or above the rule that is broken."""
    why, node = "", schema
    keys: list[Any] = [*error.absolute_schema_path]
    for key in [*keys, None]:
        if isinstance(node, dict) and isinstance(node.get(WHY), str):
            why = node[WHY]
        if key is None or not isinstance(node, (dict, list)):
            break
        node = node[key]
    return why


def _parts(schema: Mapping[str, Any]) -> Iterator[_Part]:
    """The schema in parts, each with the schema's own `why`."""
    about = {WHY: schema[WHY]} if WHY in schema else {}
    for name, value in schema.get("properties", {}).items():
        yield _Part({**about, "properties": {name: value}}, frozenset((name,)))
    for item in schema.get("allOf", ()):
        yield _Part({**about, "allOf": [item]}, _mentioned(item))
    if "if" in schema:
        condition = {key: schema[key] for key in ("if", "then", "else") if key in schema}
        yield _Part({**about, **condition}, _mentioned(condition))
    if "additionalProperties" in schema:
        known = {name: dict.fromkeys(schema.get(name, ()), True) for name in ("properties", "patternProperties")}
        yield _Part({**about, **known, "additionalProperties": schema["additionalProperties"]}, None)
    for key in ASSERTIONS:
        if key in schema and key not in ("properties", "allOf", "if", "then", "else", "additionalProperties"):
            yield _Part({**about, key: schema[key]}, None if key == "required" else _mentioned({key: schema[key]}))


def _mentioned(schema: Any) -> frozenset[str] | None:
    """The answers that a schema over all answers is about; None if that could be any."""
    if not isinstance(schema, dict):
        return frozenset()
    names = {*schema.get("properties", ()), *schema.get("required", ()), *schema.get("dependentSchemas", ())}
    for name, others in schema.get("dependentRequired", {}).items():
        names |= {name, *others}
    inner = [schema[key] for key in ("if", "then", "else", "not") if key in schema]
    inner += [item for key in ("allOf", "anyOf", "oneOf") for item in schema.get(key, ())]
    inner += schema.get("dependentSchemas", {}).values()
    for item in inner:
        mentioned = _mentioned(item)
        if mentioned is None:
            return None
        names |= mentioned
    open_ended = ("additionalProperties", "patternProperties", "propertyNames", "minProperties", "maxProperties")
    return None if any(key in schema for key in open_ended) else frozenset(names)


# --- the forms of an answer


def as_number(value: Any) -> Any:
    """The number that a text spells; any other value as it is."""
    if not isinstance(value, str):
        return value
    number = resolve(value.strip())
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    return number if is_number else value


def as_text(value: Any) -> Any:
    """The text of a number or of true and false; any other value as it is."""
    return json.dumps(value) if isinstance(value, (bool, int, float)) else value


def as_list(value: Any) -> Any:
    """The list that a text in brackets spells; any other value as it is."""
    is_list = isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]")
    return recorded_answers.names(value) if is_list else value


def _forms(value: Any) -> list[Any]:
    if isinstance(value, str) and value in ("true", "false"):
        return [value, value == "true"]
    return [value, as_number(value), as_text(value), as_list(value)]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return any(type(a) is type(b) and a == b for a in _forms(one) for b in _forms(other)) or (
        _is_number(as_number(one)) and _is_number(as_number(other)) and as_number(one) == as_number(other)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- the keywords

Errors = Iterator[ValidationError]
_Keyword = Callable[[Any, Any, Any, Any], Errors]


def _seeing(form: Callable[[Any], Any], keyword: str) -> _Keyword:
    """jsonschema's own keyword, which sees the answer in this form."""
    judge = Draft202012Validator.VALIDATORS[keyword]

    def seeing(validator: Any, value: Any, instance: Any, schema: Any) -> Errors:
        yield from judge(validator, value, form(instance), schema) or ()

    return seeing


def _enum(validator: Any, allowed: Any, instance: Any, schema: Any) -> Errors:
    if not any(_equal(value, instance) for value in allowed):
        yield ValidationError("not one of them")


def _const(validator: Any, allowed: Any, instance: Any, schema: Any) -> Errors:
    if not _equal(allowed, instance):
        yield ValidationError("not equal")


def _type(validator: Any, types: Any, instance: Any, schema: Any) -> Errors:
    wanted = [types] if isinstance(types, str) else types
    if not any(validator.is_type(form, name) for form in _forms(instance) for name in wanted):
        yield ValidationError("of another type")


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Errors:
    text = as_text(instance)
    if isinstance(text, str) and not searched(pattern, text):
        yield ValidationError("does not match")


def _required(validator: Any, names: Any, instance: Any, schema: Any) -> Errors:
    """An error's message is the name of the answer."""
    if isinstance(instance, dict):
        yield from (ValidationError(name) for name in names if name not in instance)


def _dependent_required(validator: Any, names: Any, instance: Any, schema: Any) -> Errors:
    """The same, for answers that another one needs."""
    if isinstance(instance, dict):
        needed = [name for other, others in names.items() if other in instance for name in others]
        yield from (ValidationError(name) for name in needed if name not in instance)


def _properties(validator: Any, schemas: Any, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, dict):
        for name, inner in schemas.items():
            if name in instance:
                yield from _answer(validator, instance[name], inner, name, name)


def _pattern_properties(validator: Any, schemas: Any, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, dict):
        for pattern, inner in schemas.items():
            for name, value in instance.items():
                if searched(pattern, name):
                    yield from _answer(validator, value, inner, name, pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, dict):
        patterns = schema.get("patternProperties", ())
        for name, value in instance.items():
            if name not in schema.get("properties", ()) and not any(searched(item, name) for item in patterns):
                yield from _answer(validator, value, inner, name)


def _answer(validator: Any, value: Any, inner: Any, name: str, *schema_path: str) -> Errors:
    """What one answer breaks; jsonschema itself gives no path for a schema that is `false`."""
    if inner is False:
        yield ValidationError("must not be answered", validator=words.FALSE, path=[name], schema_path=schema_path)
        return
    yield from validator.descend(value, inner, path=name, schema_path=schema_path[0] if schema_path else None)


_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        **{keyword: _seeing(as_number, keyword) for keyword in _NUMERIC},
        **{keyword: _seeing(as_text, keyword) for keyword in _TEXTUAL},
        **{keyword: _seeing(as_list, keyword) for keyword in _OF_LISTS},
        "enum": _enum,
        "const": _const,
        "type": _type,
        "pattern": _pattern,
        "required": _required,
        "dependentRequired": _dependent_required,
        "properties": _properties,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
