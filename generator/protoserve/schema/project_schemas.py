"""The schemas of a project: `schema.yaml` is the newest version, `schemas/v1.yaml` and so on are those before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from protoserve.schema import reserved_names
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import loads, read_text
from protoserve.schema.model import Contract

SCHEMA = "schema.yaml"
FOLDER = "schemas"

_MAX_VERSIONS = 200
_VERSION = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


@dataclass(frozen=True, slots=True)
class Schemas:
    """All versions: their texts by path, with every number filled in, and their contracts, the newest first."""

    texts: dict[str, str]
    contracts: tuple[Contract, ...]


def order(version: str) -> tuple[int, int, int]:
    """What sorts versions by age: v1alpha1, v1beta1, v1, v2 (https://google.aip.dev/185). Raises ValueError."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is not a version")
    return int(match[1]), _STAGES[match[2]], int(match[3] or 0)


def path_of(version: str) -> str:
    """Where an older version's schema lies in a project."""
    return f"{FOLDER}/{version}.yaml"


def read(project: Path) -> dict[str, str]:
    """The texts of a project's schemas by their paths. Raises SchemaError where a file cannot be read."""
    return {name: _text(project, name) for name in (SCHEMA, *older_paths(project))}


def older_paths(project: Path) -> list[str]:
    """Where the older versions' schemas lie in a project, sorted. Raises SchemaError if there are too many."""
    names = sorted(path.name for path in (project / FOLDER).glob("*.yaml"))
    if len(names) > _MAX_VERSIONS:
        message = f"more than {_MAX_VERSIONS} files end in .yaml, and each is a version of the contract"
        raise SchemaError(FOLDER, [Problem(1, 1, "", message, "move away those that are not")])
    return [f"{FOLDER}/{name}" for name in names]


def _text(project: Path, name: str) -> str:
    try:
        return read_text(project / name, project)
    except SchemaError as error:
        raise SchemaError(name, error.problems) from None  # from wherever it is called, the project's own path


def load(texts: dict[str, str], package: str) -> Schemas:
    """What the texts mean for the Python package `package`. Raises SchemaError for one that is not sound."""
    done: dict[str, str] = {}
    contracts: list[Contract] = []
    for file, text in texts.items():
        done[file] = numbered(text, file=file)
        contract = loads(done[file], file=file, default_package=f"{package}.v1")
        complaint = reserved_names.clash(contract.module, package) or _misplaced(contract, contracts)
        if complaint is not None:
            raise SchemaError(file, [Problem(1, 1, "package", *complaint)])
        contracts.append(contract)
    newest, *older = contracts
    return Schemas(done, (newest, *sorted(older, key=lambda item: order(item.version), reverse=True)))


def _misplaced(contract: Contract, before: list[Contract]) -> tuple[str, str] | None:
    """What is wrong with an older version's place among the others; `before` begins with the newest."""
    if not before:
        return None
    newest, version = before[0], contract.version
    if contract.file != path_of(version):
        return f"this is the schema of {version}", f"call it {path_of(version)}, or write the package of its own name"
    for item in (contract, newest):
        if reserved_names.version(item.package) is None:
            remedy = f"a package in {FOLDER}/ and that of {SCHEMA} end in v1 and so on"
            return f"{item.package} ends in no version", remedy
    if order(version) >= order(newest.version):
        problem = f"{version} is not older than {newest.version} in {SCHEMA}"
        return problem, f"{FOLDER}/ is for older versions: `package` in {SCHEMA} must end in a newer one"
    return None
