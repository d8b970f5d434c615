"""Keeps the report of each project, and gives it again as long as nothing that it depends on has changed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import protoserve
from protoserve.fleet.cache_folder import cache_folder
from protoserve.fleet.mirrors import Mirror
from protoserve.fleet.model import Project
from protoserve.fleet.status.judging import Judged
from protoserve.fleet.status.report import ProjectReport, row_data, row_of
from protoserve.platform.git import NOWHERE, git
from protoserve.project.update.template_versions import Versions

_MAX_BYTES = 4 * 2**20
_TOOLS = ("copier", "jinja2", "PyYAML")


@dataclass(frozen=True, slots=True)
class ReportCache:
    """The kept reports of a fleet with these templates."""

    folder: Path
    versions: Mapping[str, Versions | str]

    @classmethod
    def of(cls, versions: Mapping[str, Versions | str]) -> ReportCache:
        """The cache of this user."""
        return cls(cache_folder("reports"), versions)

    def report(self, project: Project, mirror: Mirror) -> ProjectReport | None:
        """The kept report of a project, None if something has changed since."""
        try:
            data = json.loads(_read(self._path(project)))
            if data["inputs"] != self._inputs(project, mirror, data["template"]):
                return None
            rows = tuple(row_of(row) for row in data["rows"])
            report = ProjectReport(project.name, rows, project.owner, project.labels, project.branch, **data["texts"])
        except (OSError, ValueError, KeyError, TypeError):  # there is none, or one of another version
            return None
        return report

    def keep(self, project: Project, mirror: Mirror, judged: Judged) -> None:
        """Keeps a report; where nothing can be written, it is made anew the next time."""
        if judged.passing:
            return
        report = judged.report
        texts = {name: getattr(report, name) for name in ("commit", "title", "template", "version", "diff")}
        data = {
            "inputs": self._inputs(project, mirror, judged.template),
            "template": judged.template,
            "rows": [row_data(row, frozenset()) for row in report.rows],
            "texts": texts,
        }
        path = self._path(project)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            unfinished.write_text(json.dumps(data), encoding="utf-8")
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)

    def _path(self, project: Project) -> Path:
        return self.folder / f"{_digest(project.address, project.branch, project.folder)}.json"

    def _inputs(self, project: Project, mirror: Mirror, template: str) -> dict[str, Any]:
        """All that a report depends on."""
        versions = self.versions.get(template)
        return {
            "protoserve": _program(),
            "settings": _settings(),
            "date": date.today().isoformat(),
            "commit": mirror.branch(project.branch),
            "tags": _digest(*(f"{name} {value}" for name, value in sorted(mirror.tags.items()))),
            "templates": sorted(self.versions),
            "versions": _versions_digest(versions) if isinstance(versions, Versions) else None,
        }


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES).decode()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _versions_digest(versions: Versions) -> str:
    names = [f"{name} {value}" for name, value in sorted({**versions.branches, **versions.tags}.items())]
    return _digest(versions.head, *names)


@cache
def _program() -> str:
    """Changes with protoserve's code and with what renders templates."""
    root = Path(protoserve.__file__).parent
    files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".jinja", ".json", ".yaml"))
    stats = [(str(path.relative_to(root)), path.stat()) for path in files]
    code = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in stats]
    return _digest(str(root), platform.python_version(), sys.prefix, *map(metadata.version, _TOOLS), *code)


@cache
def _settings() -> str:
    """Changes with the user's settings of git, and with the generator that the environment names."""
    listed = git(NOWHERE, "config", "--list", "-z").decode(errors="surrogateescape")
    return _digest(listed, os.environ.get("PROTOSERVE_GENERATOR", ""))
