"""What a worker does for one project: all its rows, and the diff of the template's files."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protoserve.fleet.status.template_diff import template_diff
from protoserve.platform import answers
from protoserve.project.status.judge import Checked, Template, judge
from protoserve.project.status.recorded_template import MissingVersionError, RecordedTemplateError, Rendered
from protoserve.project.status.report import Row
from protoserve.project.update import template_versions
from protoserve.project.update.compiled_templates import share_compiled_templates
from protoserve.project.update.template_versions import Versions


def prepare() -> Callable[[Any], int]:
    """Imports what judging needs, and returns what judges one project."""
    import protoserve.compat.project_comparison
    import protoserve.policy.answer_schema
    import protoserve.project.copier_environment
    import protoserve.project.update.quick_copier  # noqa: F401

    importlib.import_module("jinja2_ansible_filters")  # which Copier gives every template
    share_compiled_templates(Path(tempfile.mkdtemp(prefix="compiled-templates-")))
    return _answer


def _answer(request: dict[str, Any]) -> int:
    """Writes the rows of a project to standard output, as JSON."""
    project, diff = Path(request["project"]), []

    def look(rendered: Rendered, files: Row) -> None:
        names = [*files.details.get("edited", ()), *files.details.get("deleted", ())]
        diff.append(template_diff(project, rendered.folder, names))

    rows = judge(project, answers.load(project), _template(request), look)
    data = [[row.name, row.state, row.text, {**row.details}, row.remedy] for row in rows]
    json.dump({"rows": data, "diff": "".join(diff)}, sys.stdout)
    return 0


def _template(request: Mapping[str, Any]) -> Template:
    """The template as the fleet has looked it up for all of its projects."""
    from protoserve.project.update.quick_copier import quick_copy

    def versions(project: Path, source: str) -> Versions:
        if cause := request["unreachable"]:
            raise template_versions.unreachable(project, source, cause)
        return Versions(**request["versions"])

    def folder(project: Path, recorded: Mapping[str, Any]) -> Path:
        if request["folder"]:
            return Path(request["folder"])
        kind = MissingVersionError if request["missing"] else RecordedTemplateError
        raise kind(request["no_folder"])

    return Template(versions, folder, lambda project, folder: Checked(**request["checked"]), quick_copy)
