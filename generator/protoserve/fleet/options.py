"""The arguments of `protoserve fleet ...`. Imports nothing that takes time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from protoserve.project.status.options import add_fail_on
from protoserve.project.update.options import key_and_value
from protoserve.shared_commands import Command

FORMATS = ("table", "json", "markdown", "html")
FORMATS_OF_UPDATES = ("table", "json", "markdown")
_DEFAULT = Path("fleet.yaml")


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """Adds the fleet and the options that select projects of it."""
    add = parser.add_argument
    add("fleet", metavar="FLEET", nargs="?", type=Path, default=_DEFAULT, help="default: %(default)s")
    only = "the projects that a shell pattern names, by url#folder or by the last part of either; may be repeated"
    add("--only", metavar="PATTERN", action="append", default=[], help=only)
    label = "the projects with this label; repeated, those with any of them"
    add("--label", metavar="LABEL", action="append", default=[], help=label)
    add("--shard", metavar="PART/PARTS", help="one part of the projects, such as 3/8, by repository")


def _add_status(parser: argparse.ArgumentParser) -> None:
    add_fleet(parser)
    _add_output(parser)
    add_fail_on(parser)


def _add_update(parser: argparse.ArgumentParser) -> None:
    add_fleet(parser)
    add = parser.add_argument
    limit = "only the first N of the projects: those with the label canary first, then in the order of fleet.yaml"
    add("--limit", metavar="N", type=_count, help=limit)
    newest = "a tag, branch or commit of the template; latest: its newest tag, which is the default without --set"
    add("--to", metavar="REV", help=newest)
    answer = "another answer to a question; without --to each project keeps its version of the template"
    add("--set", metavar="KEY=VALUE", action="append", default=[], type=key_and_value, help=answer)
    add("--dry-run", action="store_true", help="make no branch, and report what would be done")
    check = "run the project's own `make check smoke` in a work tree of the update first: this executes its code"
    add("--check", action="store_true", help=check)
    add("--keep-conflicts", action="store_true", help="commit files with conflict markers, too, to be resolved there")
    add("--push", action="store_true", help="push each branch to the project's repository")
    option = "passed to `git push`, such as merge_request.create for GitLab; may be repeated"
    add("--push-option", metavar="OPTION", action="append", default=[], help=option)
    command = "run by the shell for each branch, which variables such as PROTOSERVE_BRANCH and PROTOSERVE_SUMMARY name"
    add("--open", metavar="COMMAND", help=command)
    _add_output(parser, FORMATS_OF_UPDATES)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a number of projects, such as 10")
    return int(text)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parts = "the JSON of `fleet status --shard`, of every part"
    parser.add_argument("parts", metavar="PART.json", nargs="+", type=Path, help=parts)
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser, formats: Sequence[str] = FORMATS) -> None:
    parser.add_argument(
        "--format", choices=formats, default="table", help="the format of the report; default: %(default)s"
    )


STATUS = Command(
    "status",
    "show how all projects of a fleet compare to their template, answers, schema and policy",
    "Looks at every project that fleet.yaml lists and changes none. Exit code 0: everything that counts is as it "
    "should be; 1: something needs to be done; 2: something could not be determined.",
    _add_status,
    failure=2,
)
REPORT = Command(
    "report",
    "join the reports of `fleet status --shard` of all parts",
    "Joins the JSON of all parts of a fleet into one report. The exit code is that of `fleet status`.",
    _add_report,
    failure=2,
)
UPDATE = Command(
    "update",
    "bring many projects to another version of their template, each on a branch of its own",
    "Makes a branch protoserve/VERSION for each project that fleet.yaml lists and that is not at that version. Run it "
    "again to continue. Exit code 0: all is done; 1: a project has failed or was refused; 2: nothing was begun, as "
    "with invalid arguments; 3: a project has conflicts, or its branch has commits of somebody else.",
    _add_update,
    failure=2,
)
