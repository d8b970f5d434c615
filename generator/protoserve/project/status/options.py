"""The arguments of `protoserve status`. Imports nothing that takes time."""

from __future__ import annotations

import argparse

from protoserve.shared_commands import add_project

# The rows, and whether each counts for the exit code by default.
ROWS = {
    "template": True,
    "answers": True,
    "generated": True,
    "conflicts": True,
    "contract": True,
    "files": False,
    "policy": True,
}
FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the project and the options."""
    add_project(parser)
    add = parser.add_argument
    add("--format", choices=FORMATS, default="table", help="the format of the report; default: %(default)s")
    add("--offline", action="store_true", help="do without a network: the newest version is not looked up")
    add_fail_on(parser)


def add_fail_on(parser: argparse.ArgumentParser) -> None:
    """Adds the rows that count."""
    counted = ",".join(name for name, counts in ROWS.items() if counts)
    parser.add_argument(
        "--fail-on", type=_rows, default=counted, metavar="ROW,ROW", help=f"the rows that count; default: {counted}"
    )


def _rows(text: str) -> frozenset[str]:
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    if unknown := sorted(names - ROWS.keys()):
        raise argparse.ArgumentTypeError(f"{unknown[0]} must be a row: {', '.join(ROWS)}")
    return names
