"""`protoserve generate`: writes a project's generated files, or shows how they differ from its schema."""

from __future__ import annotations

import sys
from pathlib import Path

from protoserve.compat import baseline, gate
from protoserve.emit import generated_files, upgrade_modules
from protoserve.platform import answers
from protoserve.platform.plain_text import one_line, visible
from protoserve.platform.printing import is_terminal, write


def check(project: Path) -> int:
    """Exit code 0, or 1 with a diff on standard output if a file differs. Writes nothing. Raises ProtoserveError."""
    package = answers.read(project)["package"]
    diff = generated_files.differences(generated_files.plan(project, package))
    if not diff:
        return 0
    write(visible(diff) if is_terminal(sys.stdout) else diff)
    print("protoserve: the generated files do not match schema.yaml: run `make generate`", file=sys.stderr)
    return 1


def generate(project: Path, *, accept_breaking: bool = False) -> int:
    """Writes the generated files, all or none, and prints which changed. Raises ProtoserveError and OSError.

    A change that breaks callers of a stable contract is refused before anything is written.
    """
    package = answers.read(project)["package"]
    passed = gate.gate(project, package, accept=accept_breaking)
    plan = generated_files.plan(project, package, passed.schemas)
    changed = generated_files.apply(plan)
    baseline.remember(project, passed.schemas, committed=passed.committed)
    for name in changed:
        print(f"{'removed' if name in plan.stale else 'wrote'} {name}")
    if not changed:
        print("all generated files match schema.yaml")
    sys.stdout.flush()  # what the author has to write comes last, even if both streams go into one file
    renewed = [step for step in plan.upgrades if f"src/{package}/contract/{step.module}.py" in changed]
    for line in upgrade_modules.describe_lost_fields(renewed):
        print(f"note: {one_line(line)}", file=sys.stderr)
    for line in upgrade_modules.describe_missing_methods(plan.upgrades, project, package):
        print(f"protoserve: {one_line(line)}", file=sys.stderr)
    return 0
