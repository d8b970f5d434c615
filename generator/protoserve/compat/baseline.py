"""The contract that callers know: the committed one, and where there is none what was last generated.

Undoing an edit that was never committed is then no break. Without git nothing tells a try from a release, so each
`generate` counts; what it was made from is kept in `.protoserve/last/`, which git ignores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from protoserve.compat import EvolveError
from protoserve.compat import project_contracts as contracts
from protoserve.compat.project_contracts import Contracts
from protoserve.platform.files import write_all
from protoserve.platform.git import GitError, Repository, find_repository
from protoserve.schema import project_schemas
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import read_text
from protoserve.schema.project_schemas import SCHEMA

LAST = ".protoserve/last"


@dataclass(frozen=True, slots=True)
class Baseline:
    """`since` says for people what this is; `told` is why there is none, or not the one that was to be expected.

    `merging` are the contracts of the branch that is being merged: what that one did was settled there.
    """

    contracts: Contracts
    since: str
    told: str = ""
    committed: bool = False
    merging: Contracts = field(default_factory=dict)


def baseline(project: Path, package: str) -> Baseline:
    """The baseline of the project's contracts. What is wrong with it is told by it, and never raised."""
    try:
        repository = find_repository(project)
        if repository is not None:
            found = _committed(repository, package)
            if found is not None:
                return found
    except (EvolveError, GitError, SchemaError) as error:
        said = str(error).splitlines()[0]
        return Baseline({}, "", f"breaking changes are not looked for, since {said}")
    try:
        last = _last(project)
        found_last = contracts.read(last, package)
    except SchemaError as error:
        return Baseline({}, "", f"breaking changes are not looked for, since {LAST} is not sound: {error}")
    if not found_last:
        return Baseline({}, "", "no earlier contract is committed or was generated here: nothing to compare with")
    return Baseline(found_last, "what was last generated")


def _committed(repository: Repository, package: str) -> Baseline | None:
    """The contracts of HEAD, None where it has none; of its newest sound ancestor after a merge that broke them."""
    head = repository.commit("HEAD")
    if head is None:
        return None
    commit, found = contracts.nearest_sound(repository, head, package)
    if not found:
        return None
    other = repository.commit("MERGE_HEAD")
    merging = {} if other is None else contracts.nearest_sound(repository, other, package)[1]
    if commit == head:
        return Baseline(found, "the last commit", committed=True, merging=merging)
    told = f"{SCHEMA} of the last commit is not sound; compared with {commit[:12]}, the newest commit where it is"
    return Baseline(found, f"commit {commit[:12]}", told, committed=True, merging=merging)


def _last(project: Path) -> dict[str, str]:
    root = project / LAST
    names = [
        path for path in (root / SCHEMA, *sorted((root / project_schemas.FOLDER).glob("*.yaml"))) if path.is_file()
    ]
    return {path.relative_to(root).as_posix(): read_text(path) for path in names}


def remember(project: Path, texts: dict[str, str], *, committed: bool) -> None:
    """Keeps what was generated from; all of it or nothing. Raises OSError.

    Where a commit has it, the folder is not needed, and only kept true if it is there.
    """
    root = project / LAST
    if committed and not root.is_dir():
        return
    before = _as_it_is(root)
    if before == texts:
        return
    write_all(root, {name: text.encode() for name, text in texts.items()}, before.keys() - texts.keys())


def _as_it_is(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes().decode(errors="replace") for path in files}
