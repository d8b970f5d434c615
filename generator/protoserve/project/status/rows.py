"""The rows of a status: each looks at one thing and says how it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.git import GitError, find_repository, git_line, git_paths
from protoserve.project.status.recorded_template import Render
from protoserve.project.status.report import Row, State
from protoserve.project.update import template_versions

_FILE_OF_A_DIFF = re.compile(r"^--- (?:a/(.+)|/dev/null)\n\+\+\+ (?:b/(.+)|/dev/null)$", re.MULTILINE)


def version(project: Path, recorded: template_versions.Recorded, *, offline: bool) -> Row:
    """The recorded version of the template against its newest."""
    if offline:
        return Row("template", State.OK, f"{recorded.commit} (the newest was not looked up)")
    try:
        release = template_versions.newest(project, recorded.source)
    except GitError as error:
        return Row("template", State.UNKNOWN, f"{recorded.commit}; {error}")
    if template_versions.is_after(recorded.commit, release):
        return Row("template", State.OK, f"{recorded.commit}, after the newest release, {release.name}")
    if template_versions.is_at(recorded.commit, release):
        return Row("template", State.OK, f"{recorded.commit} is the newest")
    newer = release.name if release.name != "HEAD" else release.hash[: len(recorded.commit)]
    return Row("template", State.TODO, f"{recorded.commit}; the newest is {newer}", {}, "protoserve update")


def unmergeable(row: Row, commit: str) -> Row:
    """The row of a version of which the template knows a newer one, but not itself: an update has no base."""
    if row.state is not State.TODO:
        return row
    return Row(row.name, State.UNKNOWN, f"{row.said}; the template has no {commit}", {}, f"git restore {answers.FILE}")


def given(recorded: dict[str, Any], render: Render) -> Row:
    """The recorded answers against the questions of the recorded version."""
    own = {name for name in recorded if not name.startswith("_")} - {"created"}
    asked = {name for name in render.answers if not name.startswith("_")} - {"created"}
    details = {
        "refused": [f"{name}: {why}" for name, why in render.refused.items()],
        "missing": sorted(asked - own),
        "unknown": sorted(own - asked),
    }
    details = {kind: names for kind, names in details.items() if names}
    if not details:
        return Row("answers", State.OK, f"{len(asked)} questions, all answered")
    said = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in details.items())
    return Row("answers", State.TODO, said, details, f"protoserve update --set KEY=VALUE, or edit {answers.FILE}")


def generated(code: int, stdout: str, stderr: str) -> Row:
    """The generated files against the schema, from what the recorded generator said of them."""
    if code == 0:
        return Row("generated", State.OK, "as schema.yaml says")
    differ = [new or old for old, new in _FILE_OF_A_DIFF.findall(stdout)]
    if differ:
        said = f"{len(differ)} differ from what schema.yaml gives"
        return Row("generated", State.TODO, said, {"differ": differ}, "make generate")
    lines = [line for line in stderr.splitlines() if line.strip()] or ["the generator failed"]
    state = State.TODO if lines[0].startswith("schema.yaml:") else State.UNKNOWN
    return Row("generated", state, lines[0], {}, "edit schema.yaml" if state is State.TODO else "")


def files(project: Path, render: Render) -> Row:
    """The template's files against a fresh render: who edited what."""
    edited: list[str] = []
    deleted: list[str] = []
    unchanged: list[str] = []
    for path in sorted(path for path in render.folder.rglob("*") if path.is_file()):
        name = path.relative_to(render.folder).as_posix()
        if name == answers.FILE:
            continue
        try:
            same = (project / name).read_bytes().replace(b"\r\n", b"\n") == path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            deleted.append(name)
        else:
            (unchanged if same else edited).append(name)
    said = f"{len(unchanged)} as the template has them"
    details = {"edited": edited, "deleted": deleted, "unchanged": unchanged}
    if edited or deleted:
        said += f", {len(edited)} edited, {len(deleted)} deleted"
        return Row("files", State.EDITED, said, details)
    return Row("files", State.OK, said, details)


def contract(project: Path) -> Row:
    """The contracts against those of the last release of the project: the nearest tag among the ancestors of HEAD."""
    # Contracts take their time to import: not before the processes run that are waited for.
    from protoserve.compat import EvolveError
    from protoserve.compat.since_revision import against
    from protoserve.schema.errors import SchemaError

    try:
        tag = git_line(project, "describe", "--tags", "--abbrev=0")
    except GitError:
        repository = find_repository(project)
        if repository is not None and repository.shallow:
            fetch = "git fetch --unshallow --tags"
            return Row("contract", State.UNKNOWN, "no release tag in this shallow clone", {}, fetch)
        return Row("contract", State.OK, "no release tag to compare with")
    try:
        comparison = against(project, tag)
    except SchemaError as error:
        return Row("contract", State.TODO, str(error).splitlines()[0], {}, "edit schema.yaml")
    except (EvolveError, GitError, answers.AnswersError) as error:
        return Row("contract", State.UNKNOWN, str(error))
    breaks = [f"{change.path}: {change.why}" for change in comparison.changes if change.breaking]
    if not breaks:
        return Row(
            "contract", State.OK, f"{len(comparison.changes)} changes since {tag}, none of which breaks a caller"
        )
    said = f"{len(breaks)} changes since {tag} break callers"
    if not comparison.stable_breaking:
        return Row("contract", State.OK, f"{said}; it was a draft", {"breaking": breaks})
    return Row("contract", State.TODO, said, {"breaking": breaks}, f"protoserve diff {tag}")


def conflicts(project: Path) -> Row:
    """Files that still have the markers of an update, or that git lists as unmerged."""
    names: set[str] = set()
    try:
        names |= {line.partition("\t")[2] for line in git_paths(project, "ls-files", "--unmerged", "-z")}
        search = ("grep", "-lIz", "--untracked", "-e", "^<<<<<<< before updating$")
        names |= set(git_paths(project, *search, exit_codes=(0, 1)))
    except GitError as error:
        return Row("conflicts", State.UNKNOWN, str(error))
    if names:
        unmerged = {"unmerged": sorted(names)}
        return Row("conflicts", State.TODO, f"{len(names)} files wait", unmerged, "edit them, then git add")
    return Row("conflicts", State.OK, "none")
