"""Judges one project of a fleet: from its mirror to its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protoserve.fleet.checkout import CheckoutError, checked_out, commit_of
from protoserve.fleet.generators import Generators
from protoserve.fleet.mirrors import Mirror
from protoserve.fleet.model import Project
from protoserve.fleet.status.report import ProjectReport, unknown
from protoserve.fleet.template_lookup import TemplateLookup
from protoserve.fleet.trust import trusted_source
from protoserve.fleet.workers import Finished, TooLongError, Worker, WorkerError, run_alone
from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError, os_reason
from protoserve.platform.git import GitError
from protoserve.platform.git.sources import is_url
from protoserve.platform.printing import printable
from protoserve.project.recorded_version import MissingVersionError, RecordedTemplateError
from protoserve.project.status.recorded_template import refuse_without_script
from protoserve.project.status.report import Row, State

_PACKAGES = Path(__file__).resolve().parents[3]
_SETUP = "protoserve.fleet.status.judge_worker:prepare"
_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A report, and what it depends on beside the project: the template that is run, "" if none is.

    One that is `passing`, such as after an error of the network, is not kept.
    """

    report: ProjectReport
    template: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges projects, several at once; `worker` is None where processes cannot be copied."""

    lookup: TemplateLookup
    generators: Generators
    worker: Worker | None

    def judge(self, project: Project, mirror: Mirror) -> Judged:
        """The report of a project. It does not raise: what cannot be judged is reported as the row `repository`."""
        try:
            commit = commit_of(project, mirror)
        except CheckoutError as error:
            return Judged(_report(project, unknown("empty" if mirror.is_empty else "branch", str(error))))
        try:
            with checked_out(project, mirror, commit) as folder:
                return self._judge_checkout(project, folder, commit)
        except CheckoutError as error:
            return Judged(_report(project, unknown("folder", str(error)), commit=commit))
        except (GitError, TooLongError, WorkerError) as error:
            return Judged(_report(project, unknown("failed", str(error)), commit=commit), passing=True)
        except OSError as error:
            return Judged(_report(project, unknown("failed", os_reason(error)), commit=commit), passing=True)
        except Exception as error:  # a fault of protoserve's, which does not stop the others
            text = f"protoserve failed: {type(error).__name__}: {printable(str(error))}"
            return Judged(_report(project, unknown("failed", text), commit=commit), passing=True)

    def _judge_checkout(self, project: Project, folder: Path, commit: str) -> Judged:
        try:
            recorded = answers.load(folder)
        except answers.AnswersError as error:
            kind = "answers" if (folder / answers.FILE).exists() else "no answers file"
            return Judged(_report(project, unknown(kind, _without_folder(str(error), folder)), commit=commit))
        source, version = str(recorded.get("_src_path", "")), str(recorded.get("_commit", "no version"))
        report = replace(
            _report(project, commit=commit),
            title=printable(str(recorded.get("project_name", ""))),
            template=printable(without_credentials(source)),
            version=printable(version),
        )
        place = None if is_url(project.address) else Path(project.address, project.folder)
        template = trusted_source(source, place, self.lookup.versions)
        if template is None:
            text = f"it is of the template {report.template}, which is not among `templates` of fleet.yaml"
            remedy = "if the template may be run, list it there"
            return Judged(replace(report, rows=(unknown("foreign template", text, remedy),)))
        rows, diff = self._rows(folder, recorded, template)
        is_listed = not isinstance(self.lookup.versions[template], str)
        return Judged(replace(report, rows=rows, diff=diff), template, passing=not is_listed)

    def _rows(self, folder: Path, recorded: Mapping[str, Any], template: str) -> tuple[tuple[Row, ...], str]:
        request: dict[str, Any] = {"project": str(folder), "folder": "", "checked": {}}
        versions = self.lookup.versions[template]
        listed = {} if isinstance(versions, str) else _as_data(versions)
        request |= {"versions": listed, "unreachable": versions if isinstance(versions, str) else ""}
        try:
            refuse_without_script(folder)
            version = self.lookup.version(template, recorded)
            checked = self.generators.run(version.folder, ["generate", str(folder), "--check"])
            printed = {"code": checked.code, "stdout": checked.stdout, "stderr": checked.stderr}
            request |= {"folder": str(version.without_git), "checked": printed}
        except RecordedTemplateError as error:
            request |= {"no_folder": str(error), "missing": isinstance(error, MissingVersionError)}
        return self._ask(request, folder)

    def _ask(self, request: Mapping[str, Any], folder: Path) -> tuple[tuple[Row, ...], str]:
        finished = self._finished(request)
        if finished.code != 0:
            lines = finished.stderr.strip().splitlines() or [f"the process ended with {finished.code}"]
            raise WorkerError(f"it cannot be judged: {lines[-1]}")
        answer = json.loads(_without_folder(finished.stdout, folder))
        rows = (Row(name, State(state), text, details, remedy) for name, state, text, details, remedy in answer["rows"])
        return tuple(rows), str(answer["diff"])

    def _finished(self, request: Mapping[str, Any]) -> Finished:
        if self.worker is None:
            return run_alone(_PACKAGES, _SETUP, request, _SECONDS)
        return self.worker.run(request, _SECONDS)


def judging_worker() -> Worker | None:
    """The worker for judging projects; None where there can be none."""
    try:
        return Worker(_PACKAGES, _SETUP)
    except WorkerError:
        return None


def unreachable(project: Project, error: ProtoserveError) -> ProjectReport:
    """The report of a project whose repository cannot be read."""
    return _report(project, unknown("unreachable", f"it cannot be read: {error}"))


def _report(project: Project, *rows: Row, commit: str = "") -> ProjectReport:
    return ProjectReport(project.name, rows, project.owner, project.labels, project.branch, commit)


def _as_data(versions: Any) -> dict[str, Any]:
    return {"head": versions.head, "tags": dict(versions.tags), "branches": dict(versions.branches)}


def _without_folder(text: str, folder: Path) -> str:
    """The text with paths below the temporary folder as paths below the project."""
    return text.replace(f"{folder}/", "").replace(str(folder), "the project")
