"""`protoserve renumber`: after a merge of two branches that took the same number, gives one of the two another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from protoserve.compat import CompatError, main_branch
from protoserve.platform import answers
from protoserve.platform.files import write_all
from protoserve.platform.git import find_repository
from protoserve.schema import project_schemas
from protoserve.schema.renumber import package_of, renumber


def main(arguments: argparse.Namespace) -> int:
    """Exit code 0 once no number is used twice. Raises ProtoserveError and OSError, with nothing changed."""
    project: Path = arguments.project
    package = answers.read(project)["package"]
    repository = find_repository(project)
    if repository is None:
        raise CompatError(f"{project.resolve()} is not in a git repository, which would show the number that was first")
    revision = arguments.base or main_branch.find_main_branch(repository)
    on_main = main_branch.contracts_on_main(repository, revision, package)
    default = f"{package}.v1"
    renumbered: dict[str, bytes] = {}
    for file, text in project_schemas.read(project).items():
        result, changes = renumber(text, file, on_main.get(package_of(text, file, default)), default)
        for change in changes:
            where = change.where
            print(
                f"{file}:{where.line}:{where.column}: {where.path}: number {change.number}, was {change.before}, "
                f"which {change.other!r} keeps"
            )
        if changes:
            renumbered[file] = result.encode()
    if not renumbered:
        print("no number is used twice")
        return 0
    write_all(project, renumbered)
    print(f"protoserve: what is on {revision} kept its number; now run `make generate`", file=sys.stderr)
    return 0
