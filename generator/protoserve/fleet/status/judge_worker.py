"""What a worker does for one project: all its rows, and the diff of the template's files."""

from __future__ import annotations

import difflib
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protoserve.platform.reading import read_if_exists
from protoserve.project.status.judge import Checked, Template, judge
from protoserve.project.status.recorded_template import MissingVersionError, RecordedTemplateError, Rendered
from protoserve.project.status.report import Row
from protoserve.project.update import template_versions
from protoserve.project.update.compiled_templates import share_compiled_templates
from protoserve.project.update.template_versions import Versions

_MOST_OF_A_FILE = 200_000  # bytes of a file whose diff is shown
_MOST_LINES = 3_000
_MOST_OF_A_DIFF = 60_000  # characters of a project's whole diff


def prepare() -> Callable[[Any], int]:
    """Imports what judging needs, and returns what judges one project."""
    import copier  # noqa: F401

    import protoserve.compat.project_comparison
    import protoserve.policy.answer_schema
    import protoserve.project.copier_environment  # noqa: F401

    importlib.import_module("jinja2_ansible_filters")  # which Copier gives every template
    share_compiled_templates(Path(tempfile.mkdtemp(prefix="compiled-templates-")))
    return _answer


def _answer(request: dict[str, Any]) -> int:
    """Writes the rows of a project to standard output, as JSON."""
    project, diff = Path(request["project"]), []

    def look(rendered: Rendered, files: Row) -> None:
        names = [*files.details.get("edited", ()), *files.details.get("deleted", ())]
        diff.append(_diff(project, rendered, names))

    rows = judge(project, request["answers"], _template(request), look)
    data = [[row.name, row.state, row.text, {**row.details}, row.remedy] for row in rows]
    json.dump({"rows": data, "diff": "".join(diff)}, sys.stdout)
    return 0


def _template(request: Mapping[str, Any]) -> Template:
    """The template as the fleet has looked it up for all of its projects."""

    def versions(project: Path, source: str) -> Versions:
        if cause := request["unreachable"]:
            raise template_versions.unreachable(project, source, cause)
        return Versions(**request["versions"])

    def folder(project: Path, recorded: Mapping[str, Any]) -> Path:
        if request["folder"]:
            return Path(request["folder"])
        kind = MissingVersionError if request["missing"] else RecordedTemplateError
        raise kind(request["no_folder"])

    return Template(versions, folder, lambda project, folder: Checked(**request["checked"]))


def _diff(project: Path, rendered: Rendered, names: list[str]) -> str:
    """A unified diff from the template's files to the project's, within a bounded size."""
    parts: list[str] = []
    for name in names:
        parts.extend(_diff_of_file(name, (rendered.folder / name).read_bytes(), _content(project, name)))
        if sum(map(len, parts)) > _MOST_OF_A_DIFF:
            return "".join(parts)[:_MOST_OF_A_DIFF] + "\n(more is left out)\n"
    return "".join(parts)


def _content(project: Path, name: str) -> bytes | None:
    try:
        return read_if_exists(project / name, project, _MOST_OF_A_FILE)
    except OSError:
        return b"(not shown: the file is too large, or cannot be read)\n"


def _diff_of_file(name: str, old: bytes, new: bytes | None) -> list[str]:
    texts = [content.replace(b"\r\n", b"\n").decode(errors="replace") for content in (old, new or b"")]
    was, would = (text.splitlines(keepends=True) for text in texts)
    after = "/dev/null" if new is None else f"b/{name}"
    if len(was) > _MOST_LINES or len(would) > _MOST_LINES:
        return [f"--- a/{name}\n+++ {after}\n(not shown: the file has more than {_MOST_LINES} lines)\n"]
    lines = difflib.unified_diff(was, would, f"a/{name}", after)
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
