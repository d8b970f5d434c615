"""`protoserve version`: starts a new version of the contract beside the served ones, or drops the oldest."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from protoserve.compat import CompatError, baseline, dropped_versions
from protoserve.emit import generated_files
from protoserve.platform import answers
from protoserve.platform.git import find_repository
from protoserve.platform.printing import printable
from protoserve.platform.reading import read_if_exists
from protoserve.schema import project_schemas, reserved_names
from protoserve.schema.model import Contract
from protoserve.schema.version_text import kept, renewed

# Files that may mention a dropped version.
_TEXT_SUFFIXES = {".json", ".md", ".mk", ".proto", ".py", ".sh", ".toml", ".yaml", ".yml"}


def command(project: Path, start: str | None, drop: str | None) -> int:
    """Starts the version `start` or drops `drop`. Raises ProtoserveError and OSError, with nothing changed."""
    package = answers.read(project)["package"]
    return drop_version(project, package, drop) if drop is not None else start_version(project, package, start or "")


def start_version(project: Path, package: str, version: str) -> int:
    """Keeps the newest contract in `schemas/` and makes `schema.yaml` a copy of it under the name of `version`."""
    schemas = project_schemas.load(project_schemas.read(project), package)
    newest = schemas.contracts[0]
    _check_can_follow(version, schemas.contracts)
    _check_committed(project, [project_schemas.SCHEMA], f"{newest.version} will stay as its callers know it")
    kept_path = project_schemas.path_of(newest.version)
    if (project / kept_path).exists():
        raise CompatError(f"{kept_path} exists already: move it away")
    text = schemas.texts[project_schemas.SCHEMA]
    new_package = f"{newest.package.rpartition('.')[0]}.{version}"
    older = {file: text for file, text in schemas.texts.items() if file != project_schemas.SCHEMA}
    texts = {
        project_schemas.SCHEMA: renewed(text, newest, new_package),
        kept_path: kept(text, newest),
        **older,
    }
    plan = generated_files.plan(project, package, texts)
    _print_changes(generated_files.apply(plan), plan)
    baseline.remember(project, texts, committed=find_repository(project) is not None)
    if newest.status == "draft":
        print(
            f"note: {newest.version} is a draft: if it has callers, write `status: stable` in {kept_path}",
            file=sys.stderr,
        )
    print(
        f"{version} begins as a copy of {newest.version}, which is still served. Edit schema.yaml, then run "
        f"`make generate`: it lists what src/{package}/upgrade/{newest.version}.py must convert",
        file=sys.stderr,
    )
    return 0


def drop_version(project: Path, package: str, version: str) -> int:
    """Removes the oldest version: its schema, its generated files, and the module that upgraded its callers."""
    texts = project_schemas.read(project)
    contracts = project_schemas.load(texts, package).contracts
    dropped = _oldest(version, contracts)
    schema_path, upgrade_path = project_schemas.path_of(version), f"src/{package}/upgrade/{version}.py"
    removed = [schema_path, upgrade_path]
    if len(contracts) == 2:
        removed.append(f"src/{package}/upgrade/__init__.py")
    removed = [name for name in removed if (project / name).exists()]
    _check_committed(project, removed, "they are removed, and only git keeps them", git_required=True)
    functions = _functions(project, upgrade_path)
    del texts[schema_path]
    plan = generated_files.without(generated_files.plan(project, package, texts), removed)
    plan = dropped_versions.record(plan, dropped.package)
    _print_changes(generated_files.apply(plan), plan)
    baseline.remember(project, texts, committed=True)
    if functions:
        print(f"{upgrade_path} had {', '.join(functions)}")
    repository = find_repository(project)
    own_files = {*repository.listed()} - plan.files.keys() if repository else set()
    for place in _mentions(project, own_files, dropped):
        print(f"{place} still mentions {version}")
    print(f"{version} is no longer served: its callers get UNIMPLEMENTED", file=sys.stderr)
    return 0


def _check_can_follow(version: str, contracts: tuple[Contract, ...]) -> None:
    """Raises CompatError unless the version can follow the newest one."""
    newest = contracts[0]
    if reserved_names.version(newest.package) is None:
        raise CompatError(
            f"the package {newest.package!r} does not end in a version, so {version} cannot be served beside it: "
            "versions differ in the last part of their packages"
        )
    newest_order = project_schemas.order(newest.version)
    next_version = f"v{newest_order[0] + 1}"
    try:
        order = project_schemas.order(version)
    except ValueError:
        order = None
    if order is None or reserved_names.package(f"x.{version}") is not None:
        raise CompatError(f"{version!r} is not a valid version: {next_version} follows {newest.version}")
    if any(version == contract.version for contract in contracts):
        raise CompatError(f"{version} exists already: {next_version} follows {newest.version}")
    if order < newest_order:
        raise CompatError(f"{version} is older than {newest.version} in schema.yaml: take {next_version}")


def _oldest(version: str, contracts: tuple[Contract, ...]) -> Contract:
    """The contract of this version. Raises CompatError unless it is the oldest of several."""
    newest, *older = contracts
    if all(version != contract.version for contract in contracts):
        versions = ", ".join(contract.version for contract in reversed(contracts))
        raise CompatError(f"there is no {version} to drop: this project has {versions}")
    if version == newest.version:
        raise CompatError(f"{version} is the newest version, which the model implements: it cannot be dropped")
    oldest = older[-1]
    if version != oldest.version:
        raise CompatError(f"callers of {oldest.version} reach the model through {version}: drop {oldest.version} first")
    return oldest


def _check_committed(project: Path, files: list[str], why: str, *, git_required: bool = False) -> None:
    """Raises CompatError for files with uncommitted changes, and without git if it is required."""
    repository = find_repository(project)
    if repository is None:
        if git_required:
            raise CompatError(f"{project.resolve()} is not in a git repository: commit it first, {why}")
        return
    uncommitted = set(repository.uncommitted(files))
    changed = [name for name in files if repository.path_from_root(name) in uncommitted]
    if changed:
        raise CompatError(f"{', '.join(changed)} has changes that are not committed: commit or stash them, {why}")


def _print_changes(changed: Iterable[str], plan: generated_files.Plan) -> None:
    for name in changed:
        print(f"{'removed' if name in plan.stale else 'wrote'} {name}")


def _functions(project: Path, module: str) -> list[str]:
    """The names of the methods and functions of a module."""
    text = (read_if_exists(project / module, project) or b"").decode(errors="replace")
    return re.findall(r"^\s*def (\w+)\(", text, re.MULTILINE)


def _mentions(project: Path, files: Iterable[str], dropped: Contract) -> Iterator[str]:
    """The lines of these files that name the version: its modules, methods, messages or proto package."""
    version, package = re.escape(dropped.version), re.escape(dropped.package)
    proto_folder = re.escape(dropped.package.replace(".", "/"))
    mention = re.compile(
        rf"\b(contract|upgrade|schemas|requests)[./]{version}\b|\bimport {version}\b|\b{package}\b|"
        rf"(?<![\w./]){version}\.[A-Za-z]|\b{proto_folder}/"
    )
    for name in sorted(files):
        if PurePath(name).suffix not in _TEXT_SUFFIXES:
            continue
        try:
            text = (read_if_exists(project / name, project) or b"").decode(errors="replace")
        except OSError:  # too large to be text that somebody wrote
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if mention.search(line):
                yield f"{printable(name)}:{number}"
