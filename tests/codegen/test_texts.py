"""No text of a schema becomes code: it gets into generated files as a comment, a docstring or a literal only."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import re2
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import hostile_texts
from protoserve.emit import contract_module, generated_files, upgrade_modules
from protoserve.emit.python_templates import docstring
from protoserve.platform.plain_text import plain
from protoserve.schema.load import loads
from protoserve.schema.protobuf_options import OPTIONS
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
    texts = hostile_texts.Texts(seed)
    content = {
        "package": "hostile.v1",
        "doc": texts.next("contract"),
        "options": {name: texts.next(name, controls=True) for name, choice in OPTIONS["file"].items() if not choice},
        "enums": {f"Kind{part}": _enum(texts) for part in range(parts)},
        "messages": {f"Message{part}": _message(texts, part) for part in range(parts)},
        "methods": {f"Ask{part}": _method(texts, part) for part in range(parts)},
    }
    return yaml.safe_dump(content, sort_keys=False, width=1000)


def _enum(texts: hostile_texts.Texts) -> dict[str, Any]:
    return {"doc": texts.next("enum"), "values": [{"name": name, "doc": texts.next("value")} for name in ("a", "b")]}


def _method(texts: hostile_texts.Texts, part: int) -> dict[str, Any]:
    fields = [{"name": "part", "type": f"Message{part}", "doc": texts.next("field")}]
    return {
        "doc": texts.next("method"),
        "request": {"doc": texts.next("request"), "fields": fields},
        "response": {"doc": texts.next("response"), "fields": [dict(field) for field in fields]},
    }


def _message(texts: hostile_texts.Texts, part: int) -> dict[str, Any]:
    def line(place: str) -> str:
        return texts.next(place, lines=False)

    def value(place: str) -> str:
        return texts.next(place, controls=True)

    pattern = line("pattern")
    visible = re.sub(r"[^!-~]", "", line("media_type")).replace(";", "") or "x"
    documented = {"doc": texts.next("field"), "unit": line("unit"), "source": line("source")}
    kind = {"doc": texts.next("field of an enum"), "deprecated": True}
    fields = [
        {"name": "text", "type": "string", "default": value("default"), "media_type": f"text/{visible}", **documented},
        {"name": "sample", "type": "string", "example": value("example"), "json_name": f"x{line('json_name')}x"},
        {"name": "matched", "type": "string", "pattern": re2.escape(pattern), "example": pattern},
        {"name": "data", "type": "json", "example": {"key": [value("json"), {"inner": value("json")}]}},
        {"name": "kind", "type": f"Kind{part}", **kind},
        {"name": "one", "type": "string", "oneof": "choice", "doc": texts.next("member"), "example": value("member")},
        {"name": "other", "type": "bytes", "oneof": "choice"},
    ]
    return {"doc": texts.next("message"), "fields": fields}


def project_files(seed: int | None, parts: int) -> dict[str, bytes]:
    """The generated files of such a contract, in two versions if it is large, and the author's first files."""
    text = schema(seed, parts)
    versions = {"schema.yaml": text}
    if parts > 1:
        versions = {"schema.yaml": text.replace("hostile.v1", "hostile.v2", 1), "schemas/v1.yaml": text}
    plan = generated_files.plan(Path("no-project"), "hostile_project", versions)
    seeds = first_files.first_files(loads(text), "hostile_project", frameworks.load("sklearn"), None)
    return {**plan.files, **plan.seeds, **{name: content.encode() for name, content in seeds.items()}}


@pytest.mark.parametrize(("seed", "parts"), [(1, 1), pytest.param(2, 25, marks=pytest.mark.slow)])
def test_no_text_of_a_schema_changes_what_a_file_says(seed: int, parts: int) -> None:
    """All files, stubs among them, have the structure that they have with harmless texts."""
    made, harmless = project_files(seed, parts), project_files(None, parts)
    assert made.keys() == harmless.keys()
    for name, content in made.items():
        assert hostile_texts.structure(name, content) == hostile_texts.structure(name, harmless[name]), name
        if not name.endswith(".yaml"):
            assert plain(content.decode()) == content.decode().rstrip("\n"), f"{name} has characters that act"


def test_quotes_in_a_pattern_of_a_field_that_python_cannot_name() -> None:
    """Python 3.11 has no quote inside of an f-string that is the one around it."""
    field = {"name": "class", "number": 1, "type": "string", "pattern": "^'x", "example": "'x"}
    method = {"request": {"presence": "implicit", "fields": [field]}, "response": {"fields": []}}
    text = yaml.safe_dump({"package": "a.v1", "names": "exact", "methods": {"Ask": method}})
    made = contract_module.render_version(loads(text), "words")
    (line,) = (line for line in made.splitlines() if "must match the pattern" in line)
    assert "getattr(message, 'class')" in line
    ast.parse(made)


def test_texts_that_differ_between_versions_are_words_in_their_upgrade() -> None:
    """Where a unit changed, the author has to convert, and the reason names both units."""

    def upgrade(*units: str) -> bytes:
        versions = []
        for number, unit in enumerate(units, 1):
            fields = [{"name": "size", "type": "float64", "number": 1, "unit": unit}]
            methods = {"Ask": {"request": {"fields": fields}, "response": {"fields": []}}}
            versions.append(loads(yaml.safe_dump({"package": f"a.v{number}", "methods": methods})))
        return upgrade_modules.render_upgrade(upgrade_modules.derive_upgrade(*versions), "words").encode()

    worst = hostile_texts.WORST.replace("\n", " ")
    made = upgrade(worst, f"{worst}2")
    assert hostile_texts.structure("v1_to_v2.py", made) == hostile_texts.structure("x.py", upgrade("cm", "m"))
    assert b"its unit is words" in made
