"""The subcommands that `protoserve` and generator/run.py have in common, and those that Copier calls.

Each is declared once. The module needs nothing but the standard library of Python 3.10: run.py parses its arguments
before it knows whether this interpreter can run the generator.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

DIFF_FORMATS = ("words", "table", "json", "markdown")


@dataclass(frozen=True)
class Command:
    """A subcommand; `failure` is its exit code if it ends with an error for the user."""

    name: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    failure: int = 1


def build_parser(program: str, description: str, commands: Iterable[Command]) -> argparse.ArgumentParser:
    """The parser of a program with these subcommands; its result has the chosen one as `command`."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    add_commands(parser, commands)
    return parser


def add_commands(parser: argparse.ArgumentParser, commands: Iterable[Command]) -> None:
    """Adds subcommands to a program, or to a command that has some of its own; the innermost one is chosen."""
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        subparser = subparsers.add_parser(command.name, help=command.summary, description=command.description)
        command.add_arguments(subparser)
        subparser.set_defaults(command=command)


_PROJECT_HELP = "the folder of the project; default: the current one"


def add_project(parser: argparse.ArgumentParser) -> None:
    """Adds the positional argument PROJECT."""
    parser.add_argument("project", metavar="PROJECT", nargs="?", type=Path, default=Path(), help=_PROJECT_HELP)


def _add_project_option(parser: argparse.ArgumentParser) -> None:
    """Adds --project, for commands whose positional argument is something else."""
    parser.add_argument("--project", metavar="DIR", type=Path, default=Path(), help=_PROJECT_HELP)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff if files differ")
    parser.add_argument(
        "--accept-breaking",
        action="store_true",
        help="write even what breaks callers of a stable contract; removed names and numbers become `reserved`",
    )


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", metavar="DIR", type=Path, help="the folder of a project, to check it")


def _add_version(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("version", metavar="NAME", nargs="?", help="the version to start, such as v2")
    choice.add_argument("--drop", metavar="NAME", help="the oldest version, to end it")
    _add_project_option(parser)


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "revision", metavar="REV", nargs="?", default="HEAD", help="a git revision; default: %(default)s"
    )
    parser.add_argument(
        "--format", choices=DIFF_FORMATS, default="words", help="the format of the output; default: %(default)s"
    )
    parser.add_argument(
        "--stable-only", action="store_true", help="exit 1 only if a contract breaks that is stable at REV"
    )
    _add_project_option(parser)


def _add_renumber(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base", metavar="REV", help="the main branch; default: origin/main, origin/master, main or master"
    )
    _add_project_option(parser)


def _add_create(parser: argparse.ArgumentParser) -> None:
    for name in ("package", "framework", "schema"):
        parser.add_argument(f"--{name}", required=True, help="the answer to the question of this name")
    parser.add_argument("--serve", default="all", help="the answer to the question of this name")
    parser.add_argument(
        "--dest", default="", help="the folder as Copier's user gave it, if answers are kept on failure"
    )
    parser.add_argument("--ref", default="", help="the revision of the template that Copier's user gave, if any")


def _add_preview(parser: argparse.ArgumentParser) -> None:
    for name in ("package", "schema"):
        parser.add_argument(f"--{name}", required=True, help="the answer to the question of this name")
    parser.add_argument("--serve", help="the answer to the question of this name")


def _add_before_update(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers", default="{}", help="the answers given on the command line, as JSON")


def _add_after_update(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--package", required=True, help="the project's Python package")
    parser.add_argument("--given", default="[]", help="the names of the answers given on the command line, as JSON")
    parser.add_argument("--asked", choices=("yes", "no"), default="no", help="whether answers were typed at prompts")


GENERATE = Command(
    "generate",
    "write the generated files of a project from its schema.yaml",
    "Writes .proto, stubs, contract and sample requests from schema.yaml, with the generator of the template version "
    "that the project records. Exit code 0, or 1 with nothing changed.",
    _add_generate,
)
VERSION = Command(
    "version",
    "start a new version of a project's contract beside the old one, or end an old one",
    "Keeps the contract as schemas/v1.yaml and starts v2 in schema.yaml; the server serves both. Runs the generator of "
    "the template version that the project records. Exit code 0, or 1 with nothing changed.",
    _add_version,
)
DIFF = Command(
    "diff",
    "show what changed in a project's contract since a git revision, and whom each change breaks",
    "Compares schema.yaml and schemas/*.yaml with those of a git revision. Exit code 0: compatible; 1: a change breaks "
    "callers; 2: the contracts could not be compared.",
    _add_diff,
    failure=2,
)
RENUMBER = Command(
    "renumber",
    "resolve field numbers that two merged branches have both used",
    "Where a merge left a number twice in schema.yaml, gives the field or enum value that is not on the main branch "
    "another one. Exit code 0: every number is used once; 1: that was not possible.",
    _add_renumber,
)
POLICY = Command(
    "policy",
    "check a project by the policy of its template's version",
    "Reports what policy.yaml, beside this generator, does not allow in a project. Without --project, only policy.yaml "
    "is checked. Exit code 0: all is allowed; 1: something is not, or policy.yaml is wrong.",
    _add_policy,
)
CREATE = Command(
    "create",
    "write the seeds and the generated files of the project in this folder",
    "Copier runs this in a new project.",
    _add_create,
)
PREVIEW = Command(
    "preview",
    "show what comes of a schema, without writing anything",
    "`protoserve new` runs this when it has asked for the schema. It prints JSON.",
    _add_preview,
)
BEFORE_UPDATE = Command(
    "before-update",
    "refuse an update that could not end well",
    "Copier runs this before it updates a project.",
    _add_before_update,
)
AFTER_UPDATE = Command(
    "after-update",
    "restore edits that the merge dropped, judge the answers by the policy, then generate",
    "Copier runs this once it has updated a project.",
    _add_after_update,
)
# The exit codes of `create` and `preview` if the schema was refused, and of `create` if the policy does not allow an
# answer; for other errors it is 1.
SCHEMA_REFUSED, ANSWERS_REFUSED = 3, 4
# Those of generator/run.py.
GENERATOR_COMMANDS = (CREATE, PREVIEW, GENERATE, VERSION, DIFF, RENUMBER, POLICY, BEFORE_UPDATE, AFTER_UPDATE)
