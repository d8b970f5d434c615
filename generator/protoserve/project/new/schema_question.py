"""The question for the schema: judged by the loader, shown as the contract that comes of it, completed with Tab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from protoserve.emit import proto, samples
from protoserve.project.create import first_schema
from protoserve.schema.load import loads
from protoserve.schema.presets import presets

# More than this is cut: it would only push the question off the screen.
_MAX_LINES = 60
_MAX_COLUMNS = 200


@dataclass(frozen=True, slots=True)
class SchemaQuestion:
    """Of the questions of copier.yml the one whose answer only the generator can judge."""

    folder: Path  # where its paths are relative to
    name: str = "schema"
    served_name: str = "serve"

    def judge(self, answer: str, answers: Mapping[str, Any]) -> None:
        """Raises SchemaError with every problem of the schema."""
        self._text(answer, answers)

    def judge_served(self, answer: str, answers: Mapping[str, Any]) -> None:
        """Raises SchemaError if the methods cannot be served of which the question `serve` is answered."""
        schema, package = str(answers[self.name]), str(answers.get("package", "model"))
        first_schema(schema, package, self.folder, serve=answer)

    def preview(self, answer: str, answers: Mapping[str, Any]) -> str:
        """The .proto and a sample request of the first method."""
        contract = loads(self._text(answer, answers))
        method = contract.served_methods[0]
        comment = re.compile(r"^//.*\n", re.MULTILINE)  # for the file, not for this page
        parts = [comment.sub("", proto.render(contract)).strip(), f"A sample request to {method.name}:"]
        parts.append(samples.as_json(contract, method.request))
        return "\n\n".join(_indented(part) if index != 1 else part for index, part in enumerate(parts))

    def completer(self) -> Completer:
        """Completes the names of presets, folders, and files that can be a schema."""
        return _SchemaCompleter()

    def _text(self, answer: str, answers: Mapping[str, Any]) -> str:
        return first_schema(answer, str(answers.get("package", "model")), self.folder)


class _SchemaCompleter(Completer):
    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True, file_filter=_can_be_schema)

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
