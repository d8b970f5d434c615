"""The contracts that callers know: the committed ones, or without a commit those that were last generated.

So undoing an edit that was never committed is not a break. Without git every `generate` counts, since nothing
distinguishes a try from a release; its schemas are kept in `.protoserve/last/`, which git ignores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from protoserve.compat import project_contracts
from protoserve.compat.project_contracts import Contracts
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import write_all
from protoserve.platform.git import Repository, find_repository
from protoserve.platform.reading import files_below, read_if_exists
from protoserve.schema import project_schemas
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import read_text
from protoserve.schema.project_schemas import SCHEMA

LAST = ".protoserve/last"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The contracts to compare with. `since` describes them, as in "2 changes since the last commit".

    `warning` says why there are none, or why they are not those of the last commit. `merging` are the contracts of the
    branch that is being merged, whose changes were settled there.
    """

    contracts: Contracts
    since: str
    warning: str = ""
    committed: bool = False
    merging: Contracts = field(default_factory=dict)


def baseline(project: Path, package: str) -> Baseline:
    """The project's baseline. If it cannot be read it is empty, with a warning; nothing is raised."""
    try:
        repository = find_repository(project)
        committed = _committed(repository, package) if repository is not None else None
    except ProtoserveError as error:
        reason = str(error).splitlines()[0]
        return Baseline({}, "", f"breaking changes are not checked: {reason}")
    if committed is not None:
        return committed
    try:
        last = project_contracts.read(_last_generated(project), package)
    except SchemaError as error:
        return Baseline({}, "", f"breaking changes are not checked: {LAST} is not valid: {error}")
    if not last:
        return Baseline({}, "", "no earlier contract was committed or generated here: nothing to compare with")
    return Baseline(last, "what was last generated")


def remember(project: Path, schemas: dict[str, str], *, committed: bool) -> None:
    """Keeps the schemas that were generated from, all of them or none. Raises OSError.

    If a commit has them the folder is not needed; it is only updated if it exists.
    """
    folder = project / LAST
    if committed and not folder.is_dir():
        return
    kept = {}
    for path in files_below(folder):
        content = read_if_exists(path, project)
        kept[path.relative_to(folder).as_posix()] = None if content is None else content.decode(errors="replace")
    if kept != schemas:
        contents = {f"{LAST}/{name}": text.encode() for name, text in schemas.items()}
        write_all(project, contents, [f"{LAST}/{name}" for name in kept.keys() - schemas.keys()])


def _committed(repository: Repository, package: str) -> Baseline | None:
    """The contracts of HEAD, or after a merge that broke them, of its nearest valid ancestor; None without any."""
    head = repository.commit("HEAD")
    if head is None:
        return None
    commit, contracts = project_contracts.nearest_valid(repository, head, package)
    if not contracts:
        return None
    other_branch = repository.commit("MERGE_HEAD")
    merging = {} if other_branch is None else project_contracts.nearest_valid(repository, other_branch, package)[1]
    if commit == head:
        return Baseline(contracts, "the last commit", committed=True, merging=merging)
    short = commit[:12]
    warning = f"{SCHEMA} of the last commit is not valid; compared with {short}, the newest commit where it is"
    return Baseline(contracts, f"commit {short}", warning, committed=True, merging=merging)


def _last_generated(project: Path) -> dict[str, str]:
    folder = project / LAST
    names = (SCHEMA, *project_schemas.older_paths(folder))
    return {name: read_text(folder / name, project) for name in names if (folder / name).is_file()}
