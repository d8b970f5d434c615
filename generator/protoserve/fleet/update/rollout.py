"""The update of one project: from its plan to a branch, in the order in which a kill does no harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from protoserve.fleet.mirrors import Mirror, MirrorError
from protoserve.fleet.model import Project
from protoserve.fleet.update.branches import Commit
from protoserve.fleet.update.check import Check
from protoserve.fleet.update.planning import Plan, Planner, RefusedError, UpToDate
from protoserve.fleet.update.publishing import Publisher, PublishingError
from protoserve.fleet.update.report import Result, State
from protoserve.fleet.update.worker import Answer, Request
from protoserve.fleet.workers import Finished, Worker, run_alone
from protoserve.platform.errors import ProtoserveError, os_reason
from protoserve.platform.plain_text import one_line
from protoserve.platform.printing import listed

PACKAGES = Path(__file__).resolve().parents[3]
SETUP = "protoserve.fleet.update.worker:prepare"
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """Updates projects, several at once; `worker` is None where processes cannot be copied."""

    worker: Worker | None
    publisher: Publisher
    check: Check | None
    keep_conflicts: bool
    dry_run: bool

    def stop(self) -> None:
        """Ends what takes long, from another thread: the updates and checks that run now fail."""
        if self.worker is not None:
            self.worker.close()
        if self.check is not None:
            self.check.stop()

    def result(self, plan: Plan) -> Result:
        """What comes of a planned update. It does not raise: what goes wrong is reported."""
        start = Result(
            plan.project.name,
            State.FAILED,
            before=plan.recorded,
            after=plan.made.version,
            branch=plan.made.branch,
            mirror=str(plan.mirror.folder),
        )
        try:
            return self._result(plan, start)
        except (ProtoserveError, OSError) as error:
            return replace(start, text=reason(error))
        except Exception as error:  # a fault of protoserve's, which does not stop the others
            return replace(start, text=_fault(error))

    def _result(self, plan: Plan, start: Result) -> Result:
        if plan.is_taken:
            text = f"{plan.made.branch} has commits of somebody else, and was left alone: merge or delete that branch"
            return replace(start, state=State.TAKEN, text=text)
        if (done := plan.done(checked=self.check is not None)) is not None:
            return self._published(plan, start, done, is_new=False)
        answer = self._computed(plan)
        start = replace(start, conflicts=answer.conflicts, summary=answer.summary, diff=answer.diff)
        if answer.error:
            refused = State.REFUSED if answer.is_refusal else State.FAILED
            return replace(start, state=refused, text=answer.error, branch="")
        if not answer.changed:
            return replace(start, state=State.NEWEST, text=f"already at {plan.recorded}", branch="")
        if answer.conflicts and not self.keep_conflicts:
            return replace(start, state=State.CONFLICTS, text=_conflict_text(answer.conflicts), branch="")
        if self.dry_run:
            state = State.CONFLICTS if answer.conflicts else State.UPDATED
            return replace(start, state=state)
        return self._published(plan, start, self._committed(plan, answer), is_new=True)

    def _computed(self, plan: Plan) -> Answer:
        versions = plan.template.versions
        request = Request(
            mirror=str(plan.mirror.folder),
            commit=plan.made.base,
            folder=plan.made.folder,
            name=_name(plan.project),
            template=plan.template.source,
            versions={"head": versions.head, "tags": dict(versions.tags), "branches": dict(versions.branches)},
            version=plan.version,
            answers=plan.made.answers,
            write_tree=not self.dry_run,
            write_conflicts=self.keep_conflicts,
        )
        finished = self._finished(asdict(request))
        if finished.code != 0:
            return Answer(error=f"it cannot be updated: {_last_line(finished)}")
        answer = Answer(**json.loads(finished.stdout))
        if answer.error:
            return replace(answer, error=_cause(answer.error, finished.stderr))
        return replace(answer, conflicts=tuple(answer.conflicts))

    def _finished(self, request: Mapping[str, Any]) -> Finished:
        if self.worker is None:
            return run_alone(PACKAGES, SETUP, request, _SECONDS)
        return self.worker.run(request, _SECONDS)

    def _committed(self, plan: Plan, answer: Answer) -> Commit:
        """The commit of the branch, once it has passed the checks. The reference is written last.

        Raises CheckError and GitError.
        """
        repository = plan.repository
        made = replace(plan.made, conflicts=answer.conflicts)
        title = f"Update the template to {made.version}"
        if answer.before == answer.after:
            title = f"Change the answers {', '.join(sorted(made.answers))}"
        commit = repository.write_commit(made, answer.tree, title, answer.summary)
        if self.check is not None and not made.conflicts:
            self.check.run(plan.project, plan.mirror, commit.hash)
            commit = repository.write_commit(replace(made, checked=True), answer.tree, title, answer.summary)
        before = plan.local.hash if plan.local is not None else None
        repository.set_reference(f"refs/heads/{made.branch}", commit.hash, before)
        return commit

    def _published(self, plan: Plan, start: Result, commit: Commit, *, is_new: bool) -> Result:
        assert commit.made is not None
        state = State.UPDATED if is_new else State.UNCHANGED
        result = replace(
            start,
            state=State.CONFLICTS if commit.made.conflicts else state,
            text=_text(commit.made.conflicts, plan.replaced),
            commit=commit.hash,
            branch=commit.made.branch,
            conflicts=commit.made.conflicts,
            summary=commit.summary,
        )
        if self.dry_run:
            return result
        if not is_new and (plan.local is None or plan.local.hash != commit.hash):
            before = plan.local.hash if plan.local is not None else None
            plan.repository.set_reference(f"refs/heads/{commit.made.branch}", commit.hash, before)
        try:
            pushed = self.publisher.publish(plan.project, plan.mirror, commit, state.value)
        except PublishingError as error:
            return replace(result, state=State.FAILED, text=str(error))
        return replace(result, pushed=pushed)


def planned(planner: Planner, project: Project, mirror: Mirror | MirrorError) -> Plan | Result:
    """The plan of a project, or what came of it if there is nothing to plan."""
    if isinstance(mirror, MirrorError):
        return Result(project.name, State.FAILED, f"it cannot be read: {mirror}")
    try:
        plan = planner.plan(project, mirror)
    except RefusedError as error:
        return Result(project.name, State.REFUSED, str(error))
    except (ProtoserveError, OSError) as error:
        return Result(project.name, State.FAILED, reason(error))
    except Exception as error:  # a fault of protoserve's, which does not stop the others
        return Result(project.name, State.FAILED, _fault(error))
    if isinstance(plan, UpToDate):
        return Result(project.name, State.NEWEST, plan.text, before=plan.version, after=plan.version)
    return plan


def reason(error: ProtoserveError | OSError) -> str:
    """Why something failed, on one line."""
    if isinstance(error, OSError):
        return one_line(f"{error.filename}: {os_reason(error)}" if error.filename else os_reason(error))
    return one_line(str(error))


def _fault(error: Exception) -> str:
    return f"protoserve failed: {type(error).__name__}: {one_line(str(error))}"


def _text(conflicts: tuple[str, ...], replaced: list[str]) -> str:
    """What a person has to do about a branch."""
    earlier = [f"the requests of these branches can be closed: {listed(replaced)}"] if replaced else []
    return "; ".join([*([_conflict_text(conflicts)] if conflicts else []), *earlier])


def _conflict_text(names: tuple[str, ...]) -> str:
    return f"both you and the template changed {listed(names)}: `protoserve update` in a clone, or --keep-conflicts"


def _name(project: Project) -> str:
    """What a clone of the project would be called."""
    last = project.folder or project.source.rstrip("/").removesuffix(".git")
    name = last.replace("\\", "/").rpartition("/")[2].rpartition(":")[2]
    return "project" if name in ("", ".", "..") else name


def _cause(error: str, printed: str) -> str:
    """The error with what a step of the template has printed of its cause."""
    lines = [line.removeprefix("protoserve: ") for line in printed.splitlines() if line.startswith("protoserve: ")]
    text = "; ".join(lines) if error.startswith("a step of the template failed") and lines else error
    return one_line(text.removesuffix("; the project is as it was"))


def _last_line(finished: Finished) -> str:
    lines = finished.stderr.strip().splitlines()
    return one_line(lines[-1]) if lines else f"its process ended with {finished.code}"
