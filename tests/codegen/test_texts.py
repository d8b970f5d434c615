"""No text of a schema becomes code: it gets into generated Python as a docstring or a literal only."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from protoserve.emit.python_templates import docstring

TEMPLATES = Path(inspect.getfile(docstring)).parent / "templates"
# What a schema's texts may hold and Python reads specially, in bad company.
texts = st.text(st.sampled_from("\"'\\ \n{}#\tab☃")) | st.text(st.characters(exclude_categories=["C"]))


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
    assert "".join((ast.get_docstring(definition) or "").split()) == "".join(text.split())


def test_templates_put_texts_only_into_literals_and_docstrings() -> None:
    """Every other expression is a name of the schema, which is an identifier, or code that the generator makes."""
    text = re.compile(r"\b(?:doc|pattern|source|example|unit|media_type|describe_\w+)\b")
    for path in TEMPLATES.glob("*.jinja"):
        for expression in re.findall(r"{{(.*?)}}", path.read_text(encoding="utf-8")):
            if text.search(expression):
                assert re.search(r"\| (?:docstring\(\d\)|literal) $", expression), f"{path.name}: {expression}"
