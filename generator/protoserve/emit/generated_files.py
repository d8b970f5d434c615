"""The generated files of one project: what they should be, how they differ, and writing them all or not at all."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from protoserve.emit import contract_module, proto, samples, served_module, stubs
from protoserve.emit import upgrade_modules as upgrades
from protoserve.emit.formatting import format_python
from protoserve.platform.blocked_paths import Links, is_inside, refuse_blocked, refuse_outside
from protoserve.platform.files import write_all
from protoserve.platform.reading import read_if_exists
from protoserve.schema import json_schema, project_schemas
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.model import Contract, Method

SCHEMA = project_schemas.SCHEMA
MANIFEST = ".protoserve/generated.txt"
_MOST_SAMPLES = 64 << 20  # characters of all sample requests, which are held and compared together
_MAX_MANIFEST = 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    """`files` maps paths below the project to their content; `stale` are files of an earlier run that go.

    `seeds` are files of the author's, which are written only where nothing is yet. `upgrades` lead from each older
    version to the next, the oldest first.
    """

    project: Path
    files: dict[str, bytes]
    stale: tuple[str, ...]
    seeds: dict[str, bytes] = field(default_factory=dict)
    upgrades: tuple[upgrades.Upgrade, ...] = ()


def plan(project: Path, package: str, texts: dict[str, str] | None = None) -> Plan:
    """What `generate` makes of the project's schemas for the Python package `package`; writes nothing.

    `texts` are schemas by their paths, in place of those that lie in the project. Raises SchemaError for a schema
    that is not sound, and where a file cannot be read.
    """
    schemas = project_schemas.load(project_schemas.read(project) if texts is None else texts, package)
    steps = tuple(upgrades.derive_upgrade(old, new) for new, old in pairwise(schemas.contracts))[::-1]
    files = {name: content.encode() for name, content in _texts(schemas.contracts, steps, package)}
    files |= _compiled(schemas.contracts, package, files)
    for contract in schemas.contracts:
        init = f"src/{contract.folder}/__init__.py"
        if (project / init).is_file() and init not in listed_files(project):
            files.pop(init, None)  # the stubs lie in a package that somebody else made
    listed = {*files, MANIFEST}
    files[MANIFEST] = "".join(f"{name}\n" for name in sorted(listed)).encode()
    files = {name: text.encode() for name, text in schemas.texts.items()} | files
    seeds = {name: content.encode() for name, content in _seeds(steps, package).items()}
    return Plan(project, files, tuple(_stale(project, listed | {*schemas.texts})), seeds, steps)


def paths(project: Path, schemas: project_schemas.Schemas, package: str) -> list[str]:
    """The files that `generate` would write from these schemas, without making any. Raises SchemaError."""
    contracts = schemas.contracts
    steps = tuple(upgrades.derive_upgrade(old, new) for new, old in pairwise(contracts))[::-1]
    names = [name for name, _ in _texts(contracts, steps, package)]
    for contract in contracts:
        names += [f"src/{name}" for name in stubs.paths(proto.path_of(contract))]
    names += [f"src/{name}" for name in stubs.paths_of_imports(list(imported_files(contracts)), package)]
    return sorted({*names, MANIFEST, *_missing(project, _seeds(steps, package))})


def without(made: Plan, names: Sequence[str]) -> Plan:
    """The plan that removes these files, too."""
    seeds = {name: content for name, content in made.seeds.items() if name not in names}
    return replace(made, stale=(*made.stale, *names), seeds=seeds)


def differences(made: Plan) -> str:
    """A unified diff from what lies in the project to what the plan says; empty when they agree.

    Raises BlockedPathError if a file cannot be written because of what lies there.
    """
    _refuse_blocked(made)
    parts: list[str] = []
    for name, content in made.files.items():
        parts.extend(_diff(name, _current(made, name), content))
    for name in made.stale:
        parts.extend(_diff(name, _current(made, name), None))
    for name in _missing(made.project, made.seeds):
        parts.extend(_diff(name, None, made.seeds[name]))
    return "".join(parts)


def apply(made: Plan) -> list[str]:
    """Writes what differs and removes what is stale, all or nothing; the paths that changed.

    Raises OSError, or BlockedPathError, with the project as it was; so it is after an interrupt, too.
    """
    _refuse_blocked(made)
    changed = {name: content for name, content in made.files.items() if _current(made, name) != content}
    changed |= {name: made.seeds[name] for name in _missing(made.project, made.seeds)}
    write_all(made.project, changed, made.stale)
    return [*changed, *made.stale]


def _current(made: Plan, name: str) -> bytes | None:
    return read_if_exists(made.project / name, made.project)


def _refuse_blocked(made: Plan) -> None:
    written = [*made.files, *_missing(made.project, made.seeds), *made.stale]
    refuse_outside(written)
    refuse_blocked(made.project, written, Links.INSIDE, "the generator writes")


def _missing(project: Path, names: Iterable[str]) -> list[str]:
    """Those of these files that do not exist."""
    return [name for name in names if not (project / name).exists()]


def _texts(contracts: Sequence[Contract], steps: Sequence[upgrades.Upgrade], package: str) -> Iterator[tuple[str, str]]:
    newest = contracts[0]
    folder = f"src/{package}/contract"
    yield f"{folder}/__init__.py", contract_module.render_package(newest)
    for name, text in contract_module.shared_modules(contracts, package):
        yield f"{folder}/{name}", text
    yield f"{folder}/served.py", served_module.render_served(contracts)
    for step in steps:
        yield f"{folder}/{step.module}.py", upgrades.render_upgrade(step, package)
    for path, (_, text) in imported_files(contracts).items():
        yield f"proto/{path}", text
    sample_characters = 0
    for contract in contracts:
        yield f"proto/{proto.path_of(contract)}", proto.render(contract)
        yield f"{folder}/{contract.version}.py", contract_module.render_version(contract, package)
        requests = "tests/requests" if contract is newest else f"tests/requests/{contract.version}"
        for method in contract.served_methods:
            text = samples.as_json(contract, method.request)
            sample_characters += len(text)
            if sample_characters > _MOST_SAMPLES:
                raise _too_many_samples(contract, method)
            yield f"{requests}/{method.name}.json", text
    yield json_schema.PATH, json_schema.json_schema()


def _too_many_samples(contract: Contract, method: Method) -> SchemaError:
    message = f"with that of this method, the sample requests of the project have more than {_MOST_SAMPLES >> 20} MiB"
    remedy = "lower `min_items`, `min_length` or shapes in the requests"
    where = method.where
    return SchemaError(contract.file, [Problem(where.line, where.column, where.path, message, remedy)])


def imported_files(contracts: Sequence[Contract]) -> dict[str, tuple[Contract, str]]:
    """The text of every file that contracts import, by its path, and the newest contract that imports it.

    All versions share it, since one process can hold only one file of a name. Raises SchemaError where they differ.
    """
    files: dict[str, tuple[Contract, str]] = {}
    for contract in contracts:
        for item in contract.imports:
            text = proto.render_import(contract, item)
            newest, first = files.setdefault(item.path, (contract, text))
            if _without_comments(first) != _without_comments(text):
                message = f"{item.path} is not what it is in {newest.file}, and one process can hold only one of them"
                problem = Problem(item.where.line, item.where.column, item.where.path, message, "make both the same")
                raise SchemaError(contract.file, [problem])
    return files


def _without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.lstrip().startswith("//")]


def _seeds(steps: Sequence[upgrades.Upgrade], package: str) -> dict[str, str]:
    """The files of the author's that several versions need."""
    folder = f"src/{package}/upgrade"
    made = {f"{folder}/{step.older.version}.py": upgrades.render_seed(step) for step in steps}
    return {f"{folder}/__init__.py": upgrades.SEED_INIT, **made} if made else {}


def _compiled(contracts: Sequence[Contract], package: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """The stubs, and every Python file as `ruff format` leaves it."""
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        root = Path(temporary)
        sources, out = root / "proto", root / "out"
        for name, content in files.items():
            if name.endswith((".py", ".proto")):
                path = out / name if name.endswith(".py") else root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        imported = imported_files(contracts)
        for contract in contracts:
            own = proto.path_of(contract)
            stubs.compile_proto(sources, own, list(imported), package, out / "src", proto.header(contract))
        stubs.compile_imports(sources, list(imported), package, out / "src", proto.HEADER)
        format_python(out, {package, *(contract.folder.split("/")[0] for contract in contracts)})
        return {
            item.relative_to(out).as_posix(): item.read_bytes() for item in sorted(out.rglob("*")) if item.is_file()
        }


def _diff(name: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    if old == new:
        return
    was, would = ((content or b"").decode(errors="replace").splitlines(keepends=True) for content in (old, new))
    before = "/dev/null" if old is None else f"a/{name}"
    after = "/dev/null" if new is None else f"b/{name}"
    for line in difflib.unified_diff(was, would, before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def listed_files(project: Path) -> list[str]:
    """What the last run made, by its manifest."""
    return (read_if_exists(project / MANIFEST, project, _MAX_MANIFEST) or b"").decode(errors="replace").splitlines()


def _stale(project: Path, listed: set[str]) -> Iterator[str]:
    """What the manifest of the last run names and this run does not make: never a file that we did not write."""
    for name in listed_files(project):
        path = project / name
        is_ours = name not in listed and is_inside(name) and os.path.isfile(path)
        if is_ours and path.resolve().is_relative_to(project.resolve()):
            yield name
