"""`protoserve renumber`: after a merge of two branches that each took a number, one of the two gets another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from protoserve.compat import EvolveError, main_branch
from protoserve.platform import answers
from protoserve.platform.files import write_all
from protoserve.platform.git import find_repository
from protoserve.schema import project_schemas
from protoserve.schema.renumber import package_of, renumber


def main(given: argparse.Namespace) -> int:
    """Exit code 0 once no number stands twice. Raises ProtoserveError and OSError, with nothing changed."""
    project: Path = given.project
    package = answers.read(project)["package"]
    repository = find_repository(project)
    if repository is None:
        raise EvolveError(f"{project.resolve()} is in no git repository, and so nothing says which number was first")
    revision = given.base or main_branch.find(repository)
    released = main_branch.released(repository, revision, package)
    default = f"{package}.v1"
    made: dict[str, bytes] = {}
    for file, text in project_schemas.read(project).items():
        result, changes = renumber(text, file, released.get(package_of(text, file, default)), default)
        for change in changes:
            where = change.where
            print(
                f"{file}:{where.line}:{where.column}: {where.path}: number {change.number}, was {change.before}, "
                f"which {change.other!r} keeps"
            )
        if changes:
            made[file] = result.encode()
    if not made:
        print("no number stands twice")
        return 0
    write_all(project, made)
    print(f"protoserve: {revision} said which were first; `make generate` writes what follows", file=sys.stderr)
    return 0
