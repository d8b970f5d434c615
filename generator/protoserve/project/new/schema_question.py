"""The questions that only the generator can judge: the schema, and which methods of a .proto are served.

A schema is judged by the generator of the template, shown as the contract that comes of it, and completed with Tab.
"""

from __future__ import annotations

import filecmp
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from questionary.prompts.path import GreatUXPathCompleter  # which ends folders with a slash

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.plain_text import visible
from protoserve.project.preview import Preview, from_json, preview
from protoserve.schema.presets import presets
from protoserve.shared_commands import PREVIEW, SCHEMA_REFUSED

_OPTIONAL = (
    "`optional` lets a reader see whether a field was sent; the server refuses a request that lacks a required one."
)
# More than this is cut: it would only push the question off the screen.
_MAX_LINES = 60
_MAX_COLUMNS = 200
_PACKAGE = Path(__file__).resolve().parents[2]


class RefusedError(ProtoserveError):
    """The template's generator refused an answer; the text is what it printed."""

    def report(self) -> str:
        """The text alone: each line begins with its place."""
        return visible(str(self))


@dataclass(frozen=True, slots=True)
class SchemaQuestion:
    """Of the questions of copier.yml those whose answers only the generator can judge.

    `folder` is what a path is relative to; `other_generator` the run.py of a generator other than this one.
    """

    folder: Path
    other_generator: Path | None = None
    name: str = "schema"
    served_name: str = "serve"

    def judge(self, answer: str, answers: Mapping[str, Any]) -> None:
        """Raises SchemaError or RefusedError with every problem of the schema."""
        self._preview(answer, answers, None)

    def judge_served(self, answer: str, answers: Mapping[str, Any]) -> None:
        """Raises SchemaError or RefusedError if these methods of the schema cannot be served."""
        self._preview(str(answers[self.name]), answers, answer)

    def shown(self, answer: str, answers: Mapping[str, Any]) -> str:
        """The .proto and a sample request of the first method; empty if the template's generator cannot tell."""
        made = self._preview(answer, answers, None)
        if made is None:
            return ""
        parts = [_indented(made.proto), f"A sample request to {made.method}:", _indented(made.request)]
        if "  optional " in made.proto:
            parts.insert(1, _OPTIONAL)
        return "\n\n".join(parts)

    def completer(self) -> Completer:
        """Completes the names of presets, folders, and files that can be a schema."""
        return _SchemaCompleter()

    def _preview(self, schema: str, answers: Mapping[str, Any], serve: str | None) -> Preview | None:
        package = str(answers.get("package", "model"))
        if self.other_generator is None:
            return preview(schema, package, self.folder, serve)
        return _preview_of_other(self.other_generator, schema, package, self.folder, serve)


def other_generator(template: Path) -> Path | None:
    """The run.py of the template's generator, None if it is the same as this one."""
    files = [path.relative_to(_PACKAGE) for path in _PACKAGE.rglob("*") if path.suffix in (".py", ".yaml", ".jinja")]
    root = template / "generator" / "protoserve"
    _, different, missing = filecmp.cmpfiles(_PACKAGE, root, map(str, files), shallow=False)
    return template / "generator" / "run.py" if different or missing else None


def _preview_of_other(run: Path, schema: str, package: str, folder: Path, serve: str | None) -> Preview | None:
    """What the template's own generator says; None if it is too old to be asked, or is missing."""
    command = [sys.executable, str(run), PREVIEW.name, f"--package={package}", f"--schema={schema}"]
    if serve is not None:
        command.append(f"--serve={serve}")
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode == SCHEMA_REFUSED:
        raise RefusedError(done.stderr.strip())
    try:
        return from_json(done.stdout)
    except (ValueError, TypeError, KeyError):
        return None


class _SchemaCompleter(Completer):
    def __init__(self) -> None:
        self._paths = GreatUXPathCompleter(expanduser=True, file_filter=_can_be_schema)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        for name in presets():
            if name.startswith(text):
                yield Completion(name, start_position=-len(text))
        yield from self._paths.get_completions(document, event)


def _can_be_schema(path: str) -> bool:
    return Path(path).is_dir() or path.endswith((".yaml", ".yml", ".proto"))


def _indented(text: str) -> str:
    lines = text.strip().splitlines()
    shown = [line if len(line) <= _MAX_COLUMNS else f"{line[:_MAX_COLUMNS]}..." for line in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        shown.append(f"... and {len(lines) - _MAX_LINES} more lines")
    return "\n".join(f"    {line}".rstrip() for line in shown)
