"""What an update is asked to do: to which version of its template a project goes, and with which answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.errors import ProtoserveError
from protoserve.project.before_update import check_fixed
from protoserve.project.update import template_versions
from protoserve.project.update.template_versions import Comparison, Recorded, Standing

LATEST = "latest"


class UpdateError(ProtoserveError):
    """The project was not updated."""


@dataclass(frozen=True, slots=True)
class Request:
    """`before` are all answers that the project records, `data` those that `--set` gives in their place."""

    project: Path
    before: dict[str, Any]
    data: dict[str, Any]
    recorded: Recorded

    @property
    def project_name(self) -> str:
        """The name for the summary: the answer, or else the name of the folder."""
        return str(self.before.get("project_name", self.project.name))


@dataclass(frozen=True, slots=True)
class Target:
    """The version to update to, and how the project's own compares to the newest."""

    version: str
    compared: Comparison

    def note(self, recorded_version: str) -> str | None:
        """A line for the summary if Copier recorded another tag of the same commit."""
        if self.version == self.compared.release.name not in ("HEAD", recorded_version):
            return f"{recorded_version} and {self.version} are the same commit of the template"
        return None


def read_request(project: Path, pairs: list[tuple[str, str]]) -> Request:
    """The request of `--set` with these pairs of a question and an answer. Raises ProtoserveError."""
    before = answers.load(project.resolve())
    recorded = template_versions.recorded(project, before)
    data: dict[str, Any] = {}
    for name, value in pairs:
        check_fixed(name, value, before)
        data[name] = answers.names(value) if isinstance(before.get(name), list) else value  # Copier converts text
    return Request(project.resolve(), before, data, recorded)


def target_version(to: str | None, request: Request, compared: Comparison) -> str | None:
    """The version to update to; None if the project has the newest one and no answer changes. Raises UpdateError."""
    recorded = request.recorded
    if compared.standing is Standing.UNKNOWN:
        remedy = template_versions.remedy_for_missing(request.project, recorded.commit)
        raise UpdateError(f"the template {recorded.source} has no {recorded.commit}, the project's version: {remedy}")
    if to is not None and to != LATEST:
        return to
    same = compared.former or recorded.commit
    if to is None and request.data:
        return same
    if compared.standing is Standing.OUTDATED:
        return compared.release.name
    return same if request.data else None


def refuse_unknown(request: Request, after: dict[str, Any], version: str) -> None:
    """Raises UpdateError if `--set` answers a question that the version does not ask; `after` are its answers."""
    unknown = sorted(request.data.keys() - after.keys())
    if unknown:
        known = ", ".join(
            name for name in after if not name.startswith("_") and name not in (*answers.FIXED, "created")
        )
        raise UpdateError(
            f"{version} does not ask {', '.join(unknown)}; it asks {known} (--to {LATEST} for the newest version's)"
        )
