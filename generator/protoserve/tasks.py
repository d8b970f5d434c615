"""What generator/run.py does in a project: seed it, generate its files, look at it before an update."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from protoserve.compat import arguments as evolving
from protoserve.compat import baseline, gate, renumber_command, versions
from protoserve.compat.diff_command import diff
from protoserve.emit import generated_files as codegen
from protoserve.emit import upgrade_modules
from protoserve.platform import answers
from protoserve.platform.errors import exit_code
from protoserve.project import git_settings
from protoserve.schema import project_schemas
from protoserve.schema.initial_text import seed
from protoserve.schema.load import load, loads, read_text
from protoserve.schema.presets import preset_data, presets


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="run.py", description="The generator of this template.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("create", help="seed the project in this folder and generate its files")
    make.add_argument("--package", required=True)
    make.add_argument("--framework", required=True)
    make.add_argument("--schema", required=True)
    again = commands.add_parser("generate", help="write what schema.yaml gives")
    again.add_argument("project", type=Path, nargs="?", default=Path())
    again.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff where files differ")
    evolving.accept_breaking(again)
    beside = commands.add_parser("version", help="start a new version of the contract, or end an old one")
    evolving.version(beside)
    evolving.project(beside)
    since = commands.add_parser("diff", help="say what changed in the contract since a git revision")
    evolving.diff(since)
    evolving.project(since)
    settle = commands.add_parser("renumber", help="settle numbers that two branches have both taken")
    evolving.renumber(settle)
    evolving.project(settle)
    before = commands.add_parser("before-update", help="refuse an update that could not end well")
    before.add_argument("--package", default="")
    before.add_argument("--framework", default="")
    before.add_argument("--schema", default="")
    given = parser.parse_args(arguments)
    return exit_code(lambda: _run(given), failure=2 if given.command == "diff" else 1)  # of `diff`, 1 is a verdict


def _run(given: argparse.Namespace) -> int:
    if given.command == "create":
        return create(Path(), given.package, given.framework, given.schema)
    if given.command == "version":
        return versions.command(given.project, given.version, given.drop)
    if given.command == "before-update":
        return before_update(Path(), package=given.package, framework=given.framework, schema=given.schema)
    if given.command == "diff":
        return diff(given)
    if given.command == "renumber":
        return renumber_command.main(given)
    return generate(given.project, check=given.check, accept_breaking=given.accept_breaking)


def create(project: Path, package: str, framework: str, schema: str) -> int:
    """Seeds what is the author's and is not there yet, then generates the rest."""
    from protoserve import seeds  # imports Jinja, which `generate` does without

    path = project / codegen.SCHEMA
    chosen = seeds.load(framework)
    if path.exists():
        contract, data = load(path, default_package=f"{package}.v1"), None
    else:
        text = _first(schema, package, Path(os.environ.get("PWD", ".")))
        contract, data = loads(text), preset_data(schema) if schema in presets() else None
        path.write_text(text, encoding="utf-8", newline="")
    made = codegen.plan(project, package)
    for name, content in seeds.seeds(contract, package, chosen, data).items():
        target = project / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
    codegen.apply(made)
    baseline.remember(project, {codegen.SCHEMA: read_text(path)}, committed=False)
    return 0


def _first(schema: str, package: str, cwd: Path) -> str:
    """The first schema of a project; `schema` is the answer, whose path counts from `cwd`. Raises SchemaError."""
    if not schema.strip().endswith(".proto") or "->" in schema:
        return seed(schema, package, cwd)
    from protoserve.intake.proto.convert import from_proto  # imports protobuf, which is not needed otherwise

    return from_proto(cwd / Path(schema.strip()).expanduser(), package)


def generate(project: Path, *, check: bool, accept_breaking: bool = False) -> int:
    """Writes the generated files, or says how they differ from what they should be.

    Changes that break callers of a stable contract are refused before anything is written.
    """
    package = answers.read(project)["package"]
    if check:
        made = codegen.plan(project, package)
        found = codegen.differences(made)
        if found:
            sys.stdout.write(found)
            print("protoserve: generated files are not what schema.yaml gives: `make generate`", file=sys.stderr)
        return 1 if found else 0
    passed = gate.gate(project, package, accept=accept_breaking)
    made = codegen.plan(project, package, passed.schemas)
    changed = codegen.apply(made)
    baseline.remember(project, passed.schemas, committed=passed.committed)
    for name in changed:
        print(f"{'removed' if name in made.stale else 'wrote'} {name}")
    if not changed:
        print("everything is as schema.yaml says")
    sys.stdout.flush()  # what the author has to write comes last, also where both go into one file
    renewed = [step for step in made.upgrades if f"src/{package}/contract/{step.module}.py" in changed]
    for line in upgrade_modules.notes(renewed):
        print(f"note: {line}", file=sys.stderr)
    for line in upgrade_modules.unwritten(made.upgrades, project, package):
        print(f"protoserve: {line}", file=sys.stderr)
    return 0


def before_update(project: Path, *, package: str, framework: str, schema: str) -> int:
    """Before Copier changes anything: answers that cannot change, git's settings, and schemas that must be sound."""
    recorded = answers.read(project)
    if schema and schema != recorded.get("schema"):
        print("protoserve: schema only begins a project: edit schema.yaml, then `make generate`", file=sys.stderr)
        return 1
    for name, wanted in (("package", package), ("framework", framework)):
        if wanted and wanted != recorded[name]:
            print(
                f"protoserve: {name} cannot change after creation: it stays {recorded[name]} (to have {wanted}, create "
                "a new project and move model.py and schema.yaml over)",
                file=sys.stderr,
            )
            return 1
    harmful = list(git_settings.harmful_settings(project))
    for line in harmful:
        print(f"protoserve: {line}", file=sys.stderr)
    if harmful:
        return 1
    project_schemas.load(project_schemas.read(project), recorded["package"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
