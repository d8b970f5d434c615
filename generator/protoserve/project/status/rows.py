"""The rows of a status: each describes the state of one thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.blocked_paths import Links, blocked_paths
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import GitError, find_repository, git_line
from protoserve.project import unresolved
from protoserve.project.compared_file import compared
from protoserve.project.status.recorded_template import Rendered
from protoserve.project.status.report import Row, State
from protoserve.project.update import template_versions
from protoserve.project.update.template_versions import Standing, Versions

_FILE_IN_DIFF = re.compile(r"^--- (?:a/(.+)|/dev/null)\n\+\+\+ (?:b/(.+)|/dev/null)$", re.MULTILINE)


def version(
    project: Path, recorded: template_versions.Recorded, available: Callable[[Path, str], Versions] | None
) -> Row:
    """The recorded version of the template, compared with the newest of those that `available` lists."""
    if available is None:
        return Row("template", State.OK, f"{recorded.commit} (the newest was not looked up)")
    try:
        versions = available(project, recorded.source)
    except template_versions.UnreachableTemplateError as error:
        return Row("template", State.UNKNOWN, f"{recorded.commit}; {error.reason}", {}, error.remedy)
    compared = template_versions.compare(recorded, versions)
    match compared.standing:
        case Standing.UNKNOWN:
            return _missing_version(project, recorded.commit, f"{compared.project}; the newest is {compared.newest}")
        case Standing.NEWEST:
            return Row("template", State.OK, f"{compared.project} is the newest")
        case Standing.LATER if compared.former and compared.named:
            text = f"{compared.project}, after the newest release, {compared.newest}"
            return Row("template", State.TODO, text, {}, f"protoserve update --to {recorded.commit}")
        case Standing.LATER:
            return Row("template", State.OK, f"{compared.project}, after the newest release, {compared.newest}")
    text = f"{compared.project}; the newest is {compared.newest}"
    return Row("template", State.TODO, text, {}, "protoserve update")


def without_base(project: Path, row: Row, commit: str) -> Row:
    """The row of `version` if the template lacks the recorded commit, so that an update has no base to merge from."""
    return row if row.state is not State.TODO else _missing_version(project, commit, row.text)


def _missing_version(project: Path, commit: str, text: str) -> Row:
    remedy = template_versions.remedy_for_missing(project, commit)
    return Row("template", State.UNKNOWN, f"{text}; the template has no {commit}", {}, remedy)


def answers_row(recorded: Mapping[str, Any], rendered: Rendered) -> Row:
    """The recorded answers, compared with the questions of the recorded version."""
    answered = {name for name in recorded if not name.startswith("_")} - {"created"}
    asked = {name for name in rendered.answers if not name.startswith("_")} - {"created"}
    details = {
        "refused": [f"{name}: {why}" for name, why in rendered.refused.items()],
        "missing": sorted(asked - answered),
        "unknown": sorted(answered - asked),
    }
    details = {kind: names for kind, names in details.items() if names}
    if not details:
        return Row("answers", State.OK, f"{len(asked)} questions, all answered")
    text = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in details.items())
    return Row("answers", State.TODO, text, details, f"protoserve update --set KEY=VALUE, or edit {answers.FILE}")


def generated(code: int, stdout: str, stderr: str) -> Row:
    """The generated files, compared with the schema: the exit code and output of the recorded `generate --check`."""
    if code == 0:
        return Row("generated", State.OK, "as schema.yaml says")
    differing = [new or old for old, new in _FILE_IN_DIFF.findall(stdout)]
    if differing:
        text = f"{len(differing)} differ from what schema.yaml gives"
        return Row("generated", State.TODO, text, {"differ": differing}, "make generate")
    lines = [line for line in stderr.splitlines() if line.strip()] or ["the generator failed"]
    if lines[0].startswith("schema.yaml:"):
        return Row("generated", State.TODO, lines[0], {}, "edit schema.yaml")
    reason = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return Row("generated", State.UNKNOWN, reason.removeprefix("protoserve: "))


def blocked_generated(project: Path) -> Row | None:
    """The row of the generated files if something lies in the way of those that the project lists."""
    from protoserve.project.update.outcome import manifest

    try:
        blocked = blocked_paths(project, manifest(project), Links.INSIDE)
    except OSError:
        return None
    if not blocked:
        return None
    lines = [path.describe("the generator writes") for path in blocked]
    text = f"in the way of generated files: {len(blocked)}"
    return Row("generated", State.TODO, text, {"blocked": lines}, "move them away, then make generate")


def files(project: Path, rendered: Rendered) -> Row:
    """The template's files, compared with a fresh render: edited, deleted, unchanged, and what lies in their way."""
    paths = sorted(path for path in rendered.folder.rglob("*") if path.is_file())
    rendered_files = {path.relative_to(rendered.folder).as_posix(): path for path in paths}
    rendered_files.pop(answers.FILE, None)
    details: dict[str, list[str]] = {"edited": [], "deleted": [], "unchanged": []}
    try:
        blocked = blocked_paths(project, rendered_files, Links.NONE)
        in_the_way = {path.path for path in blocked}
        for name, path in rendered_files.items():
            if name not in in_the_way:
                details[compared(project, name, path.read_bytes())].append(name)
    except OSError as error:
        return Row("files", State.UNKNOWN, f"{error.filename} cannot be read: {error.strerror}")
    text = f"{len(details['unchanged'])} as the template has them"
    if details["edited"] or details["deleted"]:
        text += f", {len(details['edited'])} edited, {len(details['deleted'])} deleted"
    if blocked:
        details["blocked"] = [path.describe("the template has") for path in blocked]
        text += f"; in the way of an update: {len(blocked)}"
        return Row("files", State.TODO, text, details, "move them away, then commit")
    return Row("files", State.EDITED if details["edited"] or details["deleted"] else State.OK, text, details)


def contract(project: Path) -> Row:
    """The contracts, compared with those of the project's last release: the nearest tag among HEAD's ancestors."""
    # Importing these takes time, in which the processes that `status` waits for can already run.
    from protoserve.compat.project_comparison import compare_with_revision
    from protoserve.schema.errors import SchemaError

    try:
        tag = git_line(project, "describe", "--tags", "--abbrev=0")
    except GitError:
        repository = find_repository(project)
        if repository is not None and repository.shallow:
            remedy = "git fetch --unshallow --tags"
            return Row("contract", State.UNKNOWN, "no release tag in this shallow clone", {}, remedy)
        return Row("contract", State.OK, "no release tag to compare with")
    try:
        comparison = compare_with_revision(project, tag)
    except SchemaError as error:
        return Row("contract", State.TODO, str(error).splitlines()[0], {}, "edit schema.yaml")
    except ProtoserveError as error:
        return Row("contract", State.UNKNOWN, str(error))
    breaking = [f"{change.path}: {change.why}" for change in comparison.changes if change.breaking]
    if not breaking:
        count = len(comparison.changes)
        return Row("contract", State.OK, f"{count} changes since {tag}, none of which breaks a caller")
    text = f"{len(breaking)} changes since {tag} break callers"
    if not comparison.stable_breaking:
        return Row("contract", State.OK, f"{text}; it was a draft", {"breaking": breaking})
    return Row("contract", State.TODO, text, {"breaking": breaking}, f"protoserve diff {tag}")


def conflicts(project: Path) -> Row:
    """Files that git lists as unmerged, that still have the markers of an update, or that hold rejected edits."""
    try:
        repository = find_repository(project)
        if repository is None:
            return Row("conflicts", State.UNKNOWN, "not in a git repository")
        names = sorted(unresolved.unmerged_files(repository) | unresolved.marked_files(repository))
        rejected = sorted(unresolved.rejected_edits(repository))
    except GitError as error:
        return Row("conflicts", State.UNKNOWN, str(error))
    details = {kind: paths for kind, paths in (("unmerged", names), ("rejected", rejected)) if paths}
    if not details:
        return Row("conflicts", State.OK, "none")
    remedies = ["edit them, then git add"] if names else []
    remedies += ["make the edits of the .rej files by hand, then remove these"] if rejected else []
    text = f"{len(names) + len(rejected)} files wait"
    return Row("conflicts", State.TODO, text, details, "; ".join(remedies))
