"""`protoserve version`: a new version of the contract beside the ones that are served, and the end of an old one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from protoserve.compat import EvolveError, baseline, dropped_versions
from protoserve.emit import generated_files as codegen
from protoserve.platform import answers
from protoserve.platform.git import find_repository
from protoserve.schema import project_schemas
from protoserve.schema import reserved_names as names
from protoserve.schema.model import Contract
from protoserve.schema.next_version import kept, renewed

_TEXTS = {".json", ".md", ".mk", ".proto", ".py", ".sh", ".toml", ".yaml", ".yml"}


def command(project: Path, start: str | None, drop: str | None) -> int:
    """Starts the version `start` or drops `drop`. Raises ProtoserveError and OSError, with nothing changed."""
    package = answers.read(project)["package"]
    return end(project, package, drop) if drop is not None else begin(project, package, start or "")


def begin(project: Path, package: str, version: str) -> int:
    """Keeps the newest contract as it is in `schemas/` and starts `version` of it in `schema.yaml`."""
    texts = project_schemas.read(project)
    found = project_schemas.load(texts, package)
    newest = found.contracts[0]
    _newer(version, found.contracts)
    _committed(project, [project_schemas.SCHEMA], f"{newest.version} is to stay what its callers have")
    name = f"{newest.package.rpartition('.')[0]}.{version}"
    older = {file: text for file, text in found.texts.items() if file != project_schemas.SCHEMA}
    text = found.texts[project_schemas.SCHEMA]
    path = project_schemas.path_of(newest.version)
    if (project / path).exists():
        raise EvolveError(f"{path} is there already: move it away")
    texts = {project_schemas.SCHEMA: renewed(text, newest, name), path: kept(text, newest), **older}
    made = codegen.plan(project, package, texts)
    _print(codegen.apply(made), made)
    baseline.remember(project, texts, committed=find_repository(project) is not None)
    if newest.status == "draft":
        print(
            f"note: {newest.version} is a draft: where it has callers, say `status: stable` in {path}", file=sys.stderr
        )
    print(
        f"{version} begins as a copy of {newest.version}, which is served as before. Edit schema.yaml, then "
        f"`make generate`: it says what src/{package}/upgrade/{newest.version}.py must carry over",
        file=sys.stderr,
    )
    return 0


def end(project: Path, package: str, version: str) -> int:
    """Takes the oldest version away: its schema, what was generated from it, and what carried its callers over."""
    texts = project_schemas.read(project)
    contracts = project_schemas.load(texts, package).contracts
    gone = _oldest(version, contracts)
    path, step = project_schemas.path_of(version), f"src/{package}/upgrade/{version}.py"
    mine = [path, step]
    if len(contracts) == 2:
        mine.append(f"src/{package}/upgrade/__init__.py")
    mine = [name for name in mine if (project / name).exists()]
    _committed(project, mine, "they are removed, and git is what keeps them", needed=True)
    functions = list(_functions(project / step))
    del texts[path]
    made = codegen.plan(project, package, texts)
    made = dropped_versions.with_one_more(codegen.without(made, mine), gone.package)
    _print(codegen.apply(made), made)
    baseline.remember(project, texts, committed=True)
    if functions:
        print(f"with {step} went {', '.join(functions)}")
    repository = find_repository(project)
    for place in _mentions(project, {*repository.listed()} - made.files.keys() if repository else (), gone):
        print(f"{place} still speaks of {version}")
    print(f"{version} is not served any more: its callers get UNIMPLEMENTED", file=sys.stderr)
    return 0


def _newer(version: str, contracts: tuple[Contract, ...]) -> None:
    """Raises EvolveError unless the version can follow."""
    newest = contracts[0]
    if names.version(newest.package) is None:
        found = f"the package {newest.package!r} ends in no version, so {version} cannot stand beside it"
        raise EvolveError(f"{found}: versions are told apart by the last part of their packages")
    last = project_schemas.order(newest.version)
    following = f"v{last[0] + 1}"
    complaint = names.package(f"x.{version}")
    try:
        asked = project_schemas.order(version)
    except ValueError:
        complaint, asked = complaint or ("", ""), last
    if complaint is not None:
        raise EvolveError(f"{version!r} is no version: {following} follows {newest.version}")
    if any(version == contract.version for contract in contracts):
        raise EvolveError(f"{version} is there already: {following} follows {newest.version}")
    if asked < last:
        raise EvolveError(f"{version} is no newer than {newest.version}, which is in schema.yaml: take {following}")


def _oldest(version: str, contracts: tuple[Contract, ...]) -> Contract:
    """The contract that can go; raises EvolveError for any other."""
    newest, *older = contracts
    listed = ", ".join(contract.version for contract in reversed(contracts))
    if all(version != contract.version for contract in contracts):
        raise EvolveError(f"there is no {version} to drop: this project has {listed}")
    if version == newest.version:
        raise EvolveError(f"{version} is the newest, in schema.yaml, and what the model speaks: it cannot be dropped")
    if version != older[-1].version:
        oldest = older[-1].version
        raise EvolveError(f"callers of {oldest} reach the model through {version}: drop {oldest} first")
    return older[-1]


def _committed(project: Path, files: list[str], why: str, *, needed: bool = False) -> None:
    """Raises EvolveError for files that git does not have as they are; without git only where it is `needed`."""
    repository = find_repository(project)
    if repository is None:
        if needed:
            raise EvolveError(f"{project.resolve()} is in no git repository: commit it first, {why}")
        return
    told = set(repository.uncommitted(files))
    changed = [name for name in files if repository.path_from_root(name) in told]
    if changed:
        raise EvolveError(f"{', '.join(changed)} has changes that are not committed: commit or stash them, {why}")


def _print(changed: Iterable[str], made: codegen.Plan) -> None:
    for name in changed:
        print(f"{'removed' if name in made.stale else 'wrote'} {name}")


def _functions(path: Path) -> Iterator[str]:
    """The methods and functions of an author's module."""
    if path.exists():
        yield from re.findall(r"^\s*def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)


def _mentions(project: Path, names: Iterable[str], gone: Contract) -> Iterator[str]:
    """Lines of these files that name the version: its modules, its methods, its messages, its proto package."""
    version, package = re.escape(gone.version), re.escape(gone.package)
    words = re.compile(
        rf"\b(contract|upgrade|schemas|requests)[./]{version}\b|\bimport {version}\b|\b{package}\b|"
        rf"(?<![\w./]){version}\.[A-Za-z]|\b{package.replace(chr(92) + '.', '/')}/"
    )
    for name in sorted(names):
        path = project / name
        if path.suffix in _TEXTS and path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if words.search(line):
                    yield f"{name}:{number}"
