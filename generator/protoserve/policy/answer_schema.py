"""Whether the schema of a policy's answers is one: its keywords, their values, patterns, and a `why` for each rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator

from protoserve.platform.printing import printable
from protoserve.platform.yaml_tree import Mapping, Node, Scalar, Sequence
from protoserve.policy.answer_rules import ASSERTIONS, BY_NAME, KEYWORDS, LISTED, ONE, WHY
from protoserve.policy.patterns import MAX_LENGTH, PatternError, searched
from protoserve.schema.mapping_reader import Problems, Section, nearest, plain, shown

# What people try, and what to write instead.
_MEANT = {
    "$ref": "write the schema out: a policy refers to nothing",
    "$defs": "write the schemas out where they are used",
    "$schema": "take it out: it is always JSON Schema 2020-12",
    "$id": "take it out",
    "format": "write a `pattern`: formats are not checked",
    "default": "take it out: copier.yml has the defaults",
    "unevaluatedProperties": "write `additionalProperties`",
    "reason": "write `why`",
    "message": "write `why`",
    "unedited": "it belongs below `files`",
}
_PATTERN_REMEDY = "write it in RE2's syntax (no look-around, no back-references)"


def check(node: Mapping, path: str, problems: Problems, asked: Collection[str] | None) -> None:
    """Reports what is wrong with the schema below `answers`; `asked` are the names of the questions, if known."""
    before = len(problems.items)
    _schema(node, path, problems, has_why=False)
    if len(problems.items) == before:
        _check_values(node, path, problems)
    if asked is not None:
        for key in _names(node):
            if key.text not in asked:
                guess = nearest(key.text, asked)
                remedy = f"did you mean {guess!r}?" if guess else f"its questions: {', '.join(asked)}"
                problems.add(key.place, path, f"the template has no question {shown(key.text)}", remedy)


def _schema(node: Node, path: str, problems: Problems, *, has_why: bool) -> None:
    """A schema in the schema; `has_why` says whether one that contains it says why."""
    if not isinstance(node, Mapping):
        if not (isinstance(node, Scalar) and isinstance(node.value, bool)):
            problems.add(node.place, path, "a rule must be a mapping", "write one such as {enum: [a, b], why: ...}")
        elif not node.value and not has_why:
            problems.add(node.place, path, "why is missing", "write it beside the rule: `why: nobody reads it`")
        return
    section = Section(node, path, problems)
    section.allow(KEYWORDS, _MEANT)
    if WHY in section and not section.text(WHY):
        section.report(WHY, "why is empty", "say why, for those who read it")
    has_why = has_why or WHY in section
    asserted = [key for key in section.keys if key in ASSERTIONS and key not in (*ONE, *BY_NAME, *LISTED)]
    if asserted and not has_why:
        remedy = "say why, for those who read it: `why: the mesh routes these`"
        section.report(None, "why is missing", remedy)
    for key in section.keys:
        _check_pattern(section, key)
    for name, inner in _inner(section):
        _schema(inner, f"{path}.{name}", problems, has_why=has_why)


def _inner(section: Section) -> Iterator[tuple[str, Node]]:
    """The schemas in a schema, with their paths."""
    for key in section.keys:
        node = section.node_of(key)
        if key in ONE and node is not None:
            yield key, node
        elif key in BY_NAME and isinstance(node, Mapping):
            # Keys that stand there twice are reported with the values.
            yield from ((f"{key}.{name.text}", value) for name, value in node.entries)
        elif key in LISTED and isinstance(node, Sequence):
            yield from ((f"{key}[{number}]", value) for number, value in enumerate(node.items))


def _check_pattern(section: Section, key: str) -> None:
    node = section.node_of(key)
    if key == "pattern" and isinstance(node, Scalar):
        patterns = [node]
    elif key == "patternProperties" and isinstance(node, Mapping):
        patterns = [name for name, _ in node.entries]
    else:
        return
    for item in patterns:
        path = f"{section.path}.{key}"
        if len(item.text) > MAX_LENGTH:
            section.problems.add(item.place, path, f"a pattern has at most {MAX_LENGTH} characters", "shorten it")
            continue
        try:
            searched(item.text, "")
        except PatternError:
            section.problems.add(item.place, path, f"{shown(item.text)} is not an RE2 pattern", _PATTERN_REMEDY)


def _check_values(node: Mapping, path: str, problems: Problems) -> None:
    """What JSON Schema says of the values of its keywords."""
    _report_twice(node, path, problems)
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(plain(node)):
        keys = [*error.absolute_path]
        place = _node_at(node, keys).place
        at = ".".join([path, *map(str, keys)])
        problems.add(
            place, at, printable(error.message), "see https://json-schema.org/understanding-json-schema/reference"
        )


def _node_at(node: Node, path: Iterable[Any]) -> Node:
    """The node that a path of keys and numbers leads to, or the last one on the way that exists."""
    for key in path:
        if isinstance(node, Mapping):
            inner = next((value for name, value in node.entries if name.text == str(key)), None)
        else:
            inner = node.items[key] if isinstance(node, Sequence) and isinstance(key, int) else None
        if inner is None:
            return node
        node = inner
    return node


def _report_twice(node: Node, path: str, problems: Problems) -> None:
    """Reports keys that stand twice in a mapping of names, which no schema reads as a section."""
    if isinstance(node, Mapping):
        if path.rpartition(".")[2] in BY_NAME:
            Section(node, path, problems)
        for key, value in node.entries:
            _report_twice(value, f"{path}.{key.text}", problems)
    elif isinstance(node, Sequence):
        for item in node.items:
            _report_twice(item, path, problems)


def _names(node: Any) -> Iterator[Scalar]:
    """The names of answers that a schema over all answers is about."""
    if not isinstance(node, Mapping):
        return
    for key, value in node.entries:
        if key.text in ("properties", "dependentSchemas") and isinstance(value, Mapping):
            yield from (name for name, _ in value.entries)
        elif key.text == "required" and isinstance(value, Sequence):
            yield from (item for item in value.items if isinstance(item, Scalar))
        elif key.text in ("if", "then", "else", "not"):
            yield from _names(value)
        elif key.text in ("allOf", "anyOf", "oneOf") and isinstance(value, Sequence):
            for item in value.items:
                yield from _names(item)
