"""Texts made of what the formats of generated files read specially, and the structure of a file without its texts."""

from __future__ import annotations

import ast
import io
import json
import random
import re
import shlex
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import yaml
from markdown_it import MarkdownIt

# What would run, if a text became code of whatever kind, leaves a file of this name in the working directory.
CANARY = "canary"
PYTHON = f"open('{CANARY}', 'w')"
SHELL = f"touch {CANARY}"

PIECES = (
    # Python
    *('"""', "'''", '"', "'", "\\", "\\N{", "\\x1", "\\u12", "{1/0}", "%s", "{}"),
    *(f"\n{PYTHON}\n", f'"""\n{PYTHON}\n"""', f"'{PYTHON}'", f'"+{PYTHON}+"', "\n>>> 1/0"),
    *("image(", "request.x", "outputs[0]"),
    *("# noqa", "# type: ignore", "# -*- coding: utf-7 -*-"),
    # protobuf and buf
    *("//", "/*", "*/", ";", "\nbuf:lint:ignore RPC_PASCAL_CASE\n", "}\noption deprecated = true;"),
    # YAML, TOML and workflows
    *("#", ": ", "- ", "|", ">", "&a", "*a", "---", "...", "%TAG", "@", "[x]", "=", "\n<<<<<<< ours\n"),
    *("!!python/object/apply:os.system [ls]", "${{ github.token }}"),
    # make, shell and Dockerfile
    *("$", "&&", "<<EOF", "${HOME}", "\\\n", "\t", f"$(shell {SHELL})", f"$({SHELL})", f"`{SHELL}`"),
    *(f"\n\t{SHELL}\n", f"; {SHELL};", f"\nRUN {SHELL}\n", "# syntax=x", "# escape=`"),
    # requirements
    *("-r other.txt", "--index-url=http://x"),
    # HTML and Markdown
    *("<script>", "</script>", "<!--", "-->", "](javascript:x)", "![x](http://x)", "<http://x>", "&lt;"),
    *("```", "~~~", "1. ", "| a |", "_"),
    # Jinja
    *("{{ 7 * 7 }}", "{% raw %}", "{% endraw %}", "{#"),
    # characters
    *("long" * 35, "a/b " * 35),
    *(" ", "word", "é", "☃", "😀", "\u202e", "\u2066", "\u200b", "\ufeff", "\u00a0", "\u3000"),
)
CONTROLS = ("\0", "\x1b[31m", "\r", "\x0b", "\x0c", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\x1e")
# The first for every place: all that once did harm there, or nearly.
WORST = "\n".join(
    (
        f'words """\n{PYTHON}\n""" \'\'\' \\N{{ {{{{ 7 * 7 }}}} ${{{{ x }}}} image(request.x, outputs[0])',
        f'\\"""\n{PYTHON}',
        f"*/ }} {SHELL} /*",
        "buf:lint:ignore COMMENT_FIELD",
        "\\",
    )
)


class Texts:
    """Texts for places of a file, such as "doc of a method". They are the same for a seed; without one, harmless."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._by_place: dict[str, Iterator[str]] = {}

    def next(self, place: str, *, lines: bool = True, controls: bool = False) -> str:
        """The next text for a place: the worst one, then random ones; only with `controls` with control characters."""
        if self._seed is None:
            return "words"
        texts = self._by_place.setdefault(place, self._texts(f"{self._seed} {place}", controls))
        text = next(texts)
        return text if lines else text.replace("\n", " ")

    def _texts(self, seed: str, controls: bool) -> Iterator[str]:
        yield WORST
        generator = random.Random(seed)
        pieces = (*PIECES, *CONTROLS * 3) if controls else PIECES
        while True:
            text = "".join(generator.choices(pieces, k=generator.randint(1, 8)))
            yield text if text.strip() else "x"


def structure(name: str, content: bytes) -> object:
    """What a file of a project says to whatever reads it, without its texts; all of it where it can hold no text."""
    path = PurePosixPath(name)
    read = _READERS.get(path.name) or _READERS.get(path.suffix)
    return content if read is None else read(path.name, content.decode())


def _python(name: str, text: str) -> object:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            kinds = (str, bytes, int) if name.endswith("_pb2.py") else (str, bytes)  # it has offsets into its bytes
            node.value = type(node.value).__name__ if isinstance(node.value, kinds) else node.value
    tokens = tokenize.generate_tokens(io.StringIO(text, newline="").readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT and "noqa: E501" not in token.string]
    return ast.dump(tree), comments


_PROTO_TOKEN = re.compile(r'(?P<comment>//[^\n]*)|(?P<text>"(?:\\.|[^"\\\n])*")|[\w.]+|[^\s\w]')


def _proto(name: str, text: str) -> object:
    tokens = []
    for match in _PROTO_TOKEN.finditer(text):
        order = re.match(r"//\s*buf:", match[0])
        if match["comment"] is None or order:
            tokens.append("text" if match["text"] else match[0])
    return tokens


def _plain_data(value: Any) -> object:
    if isinstance(value, dict):
        return {key: _plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_data(item) for item in value]
    return "text" if isinstance(value, str) else value


def _json(name: str, text: str) -> object:
    return _plain_data(json.loads(text))


def _toml(name: str, text: str) -> object:
    return _plain_data(tomllib.loads(text))


def _yaml(name: str, text: str) -> object:
    events = yaml.parse(text, Loader=yaml.SafeLoader)
    return [(type(event).__name__, getattr(event, "tag", None), getattr(event, "anchor", None)) for event in events]


def _dockerfile(name: str, text: str) -> object:
    """The instructions; of LABEL the names alone."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    instructions = re.sub(r"\\\n", " ", "\n".join(lines)).split("\n")
    labels = [shlex.split(line) for line in instructions if line.startswith("LABEL")]
    others = [line for line in instructions if not line.startswith("LABEL")]
    return others, [[word.partition("=")[0] for word in words] for words in labels]


def _markdown(name: str, text: str) -> object:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parsed: list[object] = []
    for token in parser.parse(text):
        inner = [(child.type, child.attrs) for child in token.children or () if child.type != "text"]
        parsed.append((token.type, token.tag, token.map if token.type == "fence" else None, inner))
    return parsed


_READERS: dict[str, Callable[[str, str], object]] = {
    ".py": _python,
    ".pyi": _python,
    ".proto": _proto,
    ".json": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
    "Dockerfile": _dockerfile,
    ".md": _markdown,
}
