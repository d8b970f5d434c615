"""Generated Python from the templates in `templates/`, which look like what they make.

What stands in a schema may be any text, and none of it may become code. Names are identifiers: the schema's rules hold
them to that. Every other text gets into a template as a literal or a docstring, by the two filters here.
"""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from protoserve.emit.formatting import LINE_LENGTH
from protoserve.platform.plain_text import plain
from protoserve.schema import reserved_names

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> str:
    """`templates/TEMPLATE.py.jinja` filled in; not yet formatted."""
    environment = jinja_environment(_TEMPLATES)
    return environment.get_template(f"{template}.py.jinja").render(**values)


def compile_all() -> None:
    """Compiles all templates of this package, which each process does once, when it needs them."""
    environment = jinja_environment(_TEMPLATES)
    for name in environment.list_templates():
        environment.get_template(name)


@cache
def jinja_environment(folder: Path) -> Environment:
    """Jinja for the templates of Python in a folder."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"docstring": docstring, "literal": repr, "snake": reserved_names.snake}
    return environment


def docstring(text: str, indent: int) -> str:
    """The text as a docstring, on several lines if need be; `indent` is the number of spaces before each."""
    # A quote before another one or at the end could close the docstring.
    body = re.sub(r'"(?="|\Z)', r"\"", plain(text).replace("\\", "\\\\"))
    if "\n" not in body and len(body) + indent + 6 <= LINE_LENGTH:
        return f'"""{body}"""'
    width = LINE_LENGTH - indent
    paragraphs = f'"""{body}'.splitlines()
    lines = [textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in paragraphs]
    return f'{textwrap.indent(chr(10).join(lines), " " * indent).strip()}\n{" " * indent}"""'
