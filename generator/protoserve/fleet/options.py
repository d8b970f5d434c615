"""The arguments of `protoserve fleet ...`. Imports nothing that takes time."""

from __future__ import annotations

import argparse
from pathlib import Path

from protoserve.project.status.options import add_fail_on
from protoserve.shared_commands import Command

FORMATS = ("table", "json", "markdown", "html")
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


def _add_report(parser: argparse.ArgumentParser) -> None:
    parts = "the JSON of `fleet status --shard`, of every part"
    parser.add_argument("parts", metavar="PART.json", nargs="+", type=Path, help=parts)
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="the format of the report; default: %(default)s"
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
