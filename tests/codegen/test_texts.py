"""No text of a schema becomes code: it gets into generated files as a comment, a docstring or a literal only."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import re2
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import hostile_texts
from protoserve.emit import generated_files
from protoserve.emit.python_templates import docstring
from protoserve.platform.plain_text import plain
from protoserve.schema.load import loads
from protoserve.seeds import first_files, frameworks

TEMPLATES = Path(inspect.getfile(docstring)).parent / "templates"
# What a schema's texts may hold and Python reads specially, in bad company.
texts = st.text(st.sampled_from("\"'\\ \n{}#\tab☃\u202e\r\x00")) | st.text(st.characters(exclude_categories=["C"]))


@given(text=texts)
@example(text='"""')
@example(text='\\"""')
@example(text='"' * 5 + "\\")
@example(text='"""; import os #' + "x " * 80 + '"""')
def test_any_text_is_one_docstring(text: str) -> None:
    source = f"class A:\n    {docstring(text, 4)}\n"
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    assert len(definition.body) == 1
    words = "".join(text.replace("\u202e", "").replace("\x00", "").split())
    assert "".join((ast.get_docstring(definition) or "").split()) == words


def test_templates_put_texts_only_into_literals_and_docstrings() -> None:
    """Every other expression is a name of the schema, which is an identifier, or code that the generator makes."""
    text = re.compile(r"\b(?:doc|pattern|source|example|unit|media_type|describe_\w+)\b")
    for path in TEMPLATES.glob("*.jinja"):
        for expression in re.findall(r"{{(.*?)}}", path.read_text(encoding="utf-8")):
            if text.search(expression):
                assert re.search(r"\| (?:docstring\(\d\)|literal) $", expression), f"{path.name}: {expression}"


def schema(seed: int | None, parts: int) -> str:
    """A schema with texts at every place that can have one, many times over; without a seed all are harmless."""
    harmless = repeat("words")
    doc = harmless if seed is None else hostile_texts.texts(seed)
    line = harmless if seed is None else hostile_texts.texts(seed + 1, lines=False)
    value = harmless if seed is None else hostile_texts.texts(seed + 2, controls=True)
    options = ("java_package", "java_outer_classname", "go_package", "objc_class_prefix", "csharp_namespace")
    options += ("swift_prefix", "php_class_prefix", "php_namespace", "php_metadata_namespace", "ruby_package")
    messages = {
        f"Message{part}": {"doc": next(doc), "fields": [*_fields(doc, line, value, part)]} for part in range(parts)
    }
    return yaml.safe_dump(
        {
            "package": "hostile.v1",
            "doc": next(doc),
            "options": {name: next(value) for name in options},
            "enums": {
                f"Kind{part}": {"doc": next(doc), "values": [{"name": name, "doc": next(doc)} for name in ("a", "b")]}
                for part in range(parts)
            },
            "messages": messages,
            "methods": {
                f"Ask{part}": {
                    "doc": next(doc),
                    "request": {"doc": next(doc), "fields": [{"name": "part", "type": f"Message{part}"}]},
                    "response": {"doc": next(doc), "fields": [{"name": "part", "type": "Message0", "doc": next(doc)}]},
                }
                for part in range(parts)
            },
        },
        sort_keys=False,
        width=1000,
    )


def _fields(doc: Iterator[str], line: Iterator[str], value: Iterator[str], part: int) -> Iterator[dict[str, Any]]:
    pattern = next(line)
    documented = {"doc": next(doc), "unit": next(line), "source": next(line)}
    visible = re.sub(r"[^!-~]", "", next(line)).replace(";", "") or "x"
    yield {"name": "text", "type": "string", "default": next(value), "media_type": f"text/{visible}", **documented}
    yield {"name": "sample", "type": "string", "example": next(value), "json_name": f"x{part}{next(line)}".strip()}
    yield {"name": "matched", "type": "string", "pattern": re2.escape(pattern), "example": pattern}
    yield {"name": "data", "type": "json", "example": {"key": [next(value), {"inner": next(value)}]}}
    yield {"name": "kind", "type": f"Kind{part}", "doc": next(doc), "deprecated": True}
    yield {"name": "one", "type": "string", "oneof": "choice", "doc": next(doc), "example": next(value)}
    yield {"name": "other", "type": "bytes", "oneof": "choice", "doc": next(doc)}


def project_files(seed: int | None, parts: int) -> dict[str, bytes]:
    """The generated files of two versions of such a contract, and the author's first files."""
    text = schema(seed, parts)
    versions = {"schema.yaml": text.replace("hostile.v1", "hostile.v2", 1), "schemas/v1.yaml": text}
    plan = generated_files.plan(Path("no-project"), "hostile_project", versions)
    seeds = first_files.first_files(loads(text), "hostile_project", frameworks.load("sklearn"), None)
    return {**plan.files, **plan.seeds, **{name: content.encode() for name, content in seeds.items()}}


@pytest.mark.parametrize(
    ("seed", "parts"),
    [(1, 2), pytest.param(2, 30, marks=pytest.mark.slow), pytest.param(3, 30, marks=pytest.mark.slow)],
)
def test_no_text_of_a_schema_changes_what_a_file_says(seed: int, parts: int) -> None:
    """All files, stubs among them, have the structure that they have with harmless texts."""
    made, harmless = project_files(seed, parts), project_files(None, parts)
    assert made.keys() == harmless.keys()
    for name, content in made.items():
        assert hostile_texts.structure(name, content) == hostile_texts.structure(name, harmless[name]), name
        if not name.endswith(".yaml"):
            assert plain(content.decode()) == content.decode().rstrip("\n"), f"{name} has characters that act"
