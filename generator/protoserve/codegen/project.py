"""The generated files of one project: what they should be, how they differ, and writing them all or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protoserve.codegen import module, proto, samples, served, stubs
from protoserve.codegen.formatting import format_python
from protoserve.contract import jsonschema, names
from protoserve.contract.errors import Problem, SchemaError
from protoserve.contract.load import loads, read_text
from protoserve.contract.model import Contract
from protoserve.contract.numbers import numbered

SCHEMA = "schema.yaml"
MANIFEST = ".protoserve/generated.txt"


@dataclass(frozen=True, slots=True)
class Plan:
    """`files` maps paths below the project to their content; `stale` are files of an earlier run that go."""

    project: Path
    files: dict[str, bytes]
    stale: tuple[str, ...]


def plan(project: Path, package: str) -> Plan:
    """What `generate` makes of the project's schema for the Python package `package`; writes nothing.

    Raises SchemaError for a schema that is not sound, and where the file cannot be read.
    """
    schema = numbered(read_text(project / SCHEMA), file=SCHEMA)
    contract = loads(schema, file=SCHEMA, default_package=f"{package}.v1")
    clash = names.clash(contract.module, package)
    if clash is not None:
        raise SchemaError(SCHEMA, [Problem(1, 1, "package", *clash)])
    files = {name: content.encode() for name, content in _texts(contract, package)}
    files |= _compiled(contract, package, files)
    listed = {*files, MANIFEST}
    files[MANIFEST] = "".join(f"{name}\n" for name in sorted(listed)).encode()
    return Plan(project, {SCHEMA: schema.encode(), **files}, tuple(_stale(project, listed)))


def differences(made: Plan) -> str:
    """A unified diff from what lies in the project to what the plan says; empty when they agree."""
    parts: list[str] = []
    for name, content in made.files.items():
        parts.extend(_diff(name, _read(made.project / name), content))
    for name in made.stale:
        parts.extend(_diff(name, _read(made.project / name), None))
    return "".join(parts)


def apply(made: Plan) -> list[str]:
    """Writes what differs and removes what is stale, all or nothing; the paths that changed.

    Raises OSError with the project as it was.
    """
    changed = {name: content for name, content in made.files.items() if _read(made.project / name) != content}
    touched = [*changed, *made.stale]
    before = {name: _read(made.project / name) for name in touched}
    staged: dict[str, Path] = {}
    try:
        for name, content in changed.items():
            staged[name] = _stage(made.project / name, content)
        for name, path in staged.items():
            os.replace(path, made.project / name)
        for name in made.stale:
            (made.project / name).unlink(missing_ok=True)
    except OSError:
        for path in staged.values():
            path.unlink(missing_ok=True)
        for name in touched:
            _restore(made.project / name, before[name])
        raise
    for name in made.stale:
        _prune(made.project, (made.project / name).parent)
    return touched


def _texts(contract: Contract, package: str) -> Iterator[tuple[str, str]]:
    yield f"proto/{proto.path_of(contract)}", proto.render(contract)
    yield f"src/{package}/contract/__init__.py", module.package_init(contract)
    yield f"src/{package}/contract/checks.py", module.support()
    yield f"src/{package}/contract/served.py", served.render([contract])
    yield f"src/{package}/contract/{contract.version}.py", module.render(contract, package)
    for method in contract.methods:
        yield f"tests/requests/{method.name}.json", samples.as_json(contract, method.request)
    yield jsonschema.PATH, jsonschema.json_schema()


def _compiled(contract: Contract, package: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """The stubs, and every Python file as `ruff format` leaves it."""
    path = proto.path_of(contract)
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        root = Path(temporary)
        sources, out = root / "proto", root / "out"
        (sources / path).parent.mkdir(parents=True)
        (sources / path).write_bytes(files[f"proto/{path}"])
        for name, content in files.items():
            if name.endswith(".py"):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(content)
        stubs.compile_proto(sources, path, out / "src")
        if contract.folder == package:  # where the project's own __init__.py is
            (out / "src" / package / "__init__.py").unlink()
        format_python(out, {package, contract.folder.split("/")[0]})
        return {
            item.relative_to(out).as_posix(): item.read_bytes() for item in sorted(out.rglob("*")) if item.is_file()
        }


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _diff(name: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    if old == new:
        return
    was, would = ((content or b"").decode(errors="replace").splitlines(keepends=True) for content in (old, new))
    before = "/dev/null" if old is None else f"a/{name}"
    after = "/dev/null" if new is None else f"b/{name}"
    for line in difflib.unified_diff(was, would, before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _stale(project: Path, listed: set[str]) -> Iterator[str]:
    """What the manifest of the last run names and this run does not make: never a file that we did not write."""
    manifest = _read(project / MANIFEST)
    for name in (manifest or b"").decode(errors="replace").splitlines():
        inside = (project / name).resolve().is_relative_to(project.resolve())
        if name and name not in listed and name != SCHEMA and inside and (project / name).is_file():
            yield name


def _stage(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    os.chmod(name, mode)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif _read(path) != content:
        with contextlib.suppress(OSError):
            path.write_bytes(content)


def _prune(project: Path, folder: Path) -> None:
    """Removes folders that have become empty."""
    while folder != project and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
