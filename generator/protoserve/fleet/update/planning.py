"""What an update of a project is: from its mirror and its recorded answers to a target and a branch."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protoserve.fleet.checkout import commit_of, refuse_folder
from protoserve.fleet.mirrors import Mirror
from protoserve.fleet.model import Project
from protoserve.fleet.trust import trusted_source
from protoserve.fleet.update.branches import PREFIX, BareRepository, Commit, Made
from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import GitError
from protoserve.platform.git.sources import is_url
from protoserve.platform.printing import printable
from protoserve.project.before_update import check_fixed
from protoserve.project.update import template_versions
from protoserve.project.update.request import Request as UpdateRequest
from protoserve.project.update.request import target_version
from protoserve.project.update.template_checkouts import Checkout, Checkouts
from protoserve.project.update.template_versions import Standing, Versions

_BRANCHES = "refs/heads/"
_MOST_ANSWERS = 2**20  # bytes of an answers file


class RefusedError(ProtoserveError):
    """The update is not allowed."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template of the fleet that can be read: its versions and its checkouts."""

    source: str
    versions: Versions
    checkouts: Checkouts
    _checking_out: threading.Lock = field(default_factory=threading.Lock)

    def checkout(self, revision: str) -> Checkout:
        """The checkout of a version, made once. Raises GitError."""
        with self._checking_out:
            return self.checkouts.at(revision)


@dataclass(frozen=True, slots=True)
class Plan:
    """An update to make of a project's commit: to `version` of a template, whose checkout is `target`.

    `remote` and `local` are the commits that its branch has in the repository and in the mirror, if any.
    """

    project: Project
    mirror: Mirror
    template: Template
    recorded: str
    version: str
    target: Checkout
    made: Made
    remote: Commit | None
    local: Commit | None

    @property
    def repository(self) -> BareRepository:
        return BareRepository(self.mirror.folder)

    @property
    def replaced(self) -> list[str]:
        """The branches of the repository with the same update to other versions, which are of no use any more."""
        names = [name.removeprefix(_BRANCHES) for name in self.mirror.references if name.startswith(_BRANCHES + PREFIX)]
        made = {name: _made(self.repository, self.mirror.branch(name)) for name in names if name != self.made.branch}
        return sorted(name for name, other in made.items() if other is not None and self.made.is_same_change(other))

    @property
    def is_taken(self) -> bool:
        """Whether the branch is somebody else's, or that of another project."""
        seen = self.remote or self.local
        return seen is not None and (seen.made is None or seen.made.branch != self.made.branch)

    def is_waiting(self, *, checked: bool) -> bool:
        """Whether the update has to be computed."""
        return not self.is_taken and self.done(checked=checked) is None

    def done(self, *, checked: bool) -> Commit | None:
        """The commit that an earlier run has made of the same update, and checked, if it must be."""
        for commit in (self.remote, self.local):
            made = commit.made if commit is not None else None
            if made is not None and made.is_same_update(self.made) and (made.checked or made.conflicts or not checked):
                return commit
        return None


@dataclass(frozen=True, slots=True)
class UpToDate:
    """There is nothing to do for a project at this version."""

    version: str
    text: str


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans updates `to` a version of the template, with other answers, as `protoserve update` does for one project."""

    templates: Mapping[str, Template | str]
    to: str | None
    answers: tuple[tuple[str, str], ...]

    def plan(self, project: Project, mirror: Mirror) -> Plan | UpToDate:
        """The update of a project. Raises RefusedError, and ProtoserveError for what cannot be read."""
        commit = commit_of(project, mirror)
        refuse_folder(project, mirror, commit)
        repository = BareRepository(mirror.folder)
        recorded_answers = _answers(repository, commit, project.folder)
        template = self._template(project, recorded_answers)
        for name, value in self.answers:
            check_fixed(name, value, recorded_answers)
        recorded = template_versions.recorded(Path(project.folder or "."), recorded_answers)
        compared = template_versions.compare(recorded, template.versions)
        if compared.standing is Standing.UNKNOWN:
            raise ProtoserveError(
                f"the template has no {recorded.commit}, the project's version: restore the tag in the template, or "
                f"set _commit in {answers.FILE} to the tag that the project is from"
            )
        request = UpdateRequest(Path(), recorded_answers, dict(self.answers), recorded)
        version = target_version(self.to, request, compared)
        if version is None:
            return UpToDate(recorded.commit, f"already at {compared.project}")
        if version == "HEAD":  # a mirror has no HEAD of its own
            version = template.versions.head
        target = template.checkout(version)
        onto = "" if project.branch == mirror.default_branch else project.branch
        made = Made(target.described, target.hash, commit, project.folder, dict(self.answers), onto=onto)
        return Plan(
            project,
            mirror,
            template,
            recorded.commit,
            version,
            target,
            made,
            _commit(repository, mirror.branch(made.branch)),
            _commit(repository, repository.reference(f"refs/heads/{made.branch}")),
        )

    def _template(self, project: Project, recorded: Mapping[str, Any]) -> Template:
        source = str(recorded.get("_src_path", ""))
        place = None if is_url(project.address) else Path(project.address, project.folder)
        trusted = trusted_source(source, place, self.templates)
        if trusted is None:
            shown = printable(without_credentials(source))
            raise RefusedError(
                f"its template {shown} is not among `templates` of fleet.yaml, so nothing of it was run: if it may be "
                "run, list it there"
            )
        template = self.templates[trusted]
        if isinstance(template, str):
            raise ProtoserveError(f"the template {without_credentials(trusted)} cannot be read: {template}")
        return template


def _answers(repository: BareRepository, commit: str, folder: str) -> dict[str, Any]:
    """The recorded answers of a project. Raises AnswersError."""
    name = f"{folder}/{answers.FILE}" if folder else answers.FILE
    with tempfile.TemporaryDirectory(prefix="answers-") as temporary:
        try:
            entry = repository.line("ls-tree", "--long", "--full-tree", commit, "--", name).split()
            if not entry:
                raise answers.AnswersError(f"it is not a protoserve project: it has no {answers.FILE}")
            if not entry[0].startswith("100"):
                raise answers.AnswersError(f"{answers.FILE} is not a regular file: put the file itself in its place")
            if int(entry[3]) > _MOST_ANSWERS:
                raise answers.AnswersError(f"{answers.FILE} is larger than {_MOST_ANSWERS >> 20} MiB")
            Path(temporary, answers.FILE).write_bytes(repository.git("cat-file", "blob", entry[2]))
            return answers.load(Path(temporary))
        except answers.AnswersError as error:
            raise answers.AnswersError(str(error).replace(f"{temporary}/", "")) from None


def _made(repository: BareRepository, value: str | None) -> Made | None:
    commit = _commit(repository, value)
    return None if commit is None else commit.made


def _commit(repository: BareRepository, value: str | None) -> Commit | None:
    if value is None:
        return None
    try:
        return repository.commit(value)
    except GitError:
        return Commit(value, "", "", None)
