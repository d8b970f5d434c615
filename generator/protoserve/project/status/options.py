"""The arguments of `protoserve status`. Imports nothing that takes time."""

from __future__ import annotations

import argparse
from pathlib import Path

# The rows, and whether one that is not as it should be makes the exit code 1.
ROWS = {
    "template": True,
    "answers": True,
    "generated": True,
    "conflicts": True,
    "contract": True,
    "files": False,
}
FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the project and the options."""
    add = parser.add_argument
    add("project", metavar="PROJECT", nargs="?", type=Path, default=Path(), help="default: here")
    add("--format", choices=FORMATS, default="table", help="of the report on standard output; default: %(default)s")
    add("--offline", action="store_true", help="ask no network: the newest version is not looked up")
    counted = ",".join(name for name, counts in ROWS.items() if counts)
    add("--fail-on", type=_rows, default=counted, metavar="ROW,ROW", help=f"the rows that count; default: {counted}")


def _rows(text: str) -> frozenset[str]:
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    if unknown := sorted(names - ROWS.keys()):
        raise argparse.ArgumentTypeError(f"{unknown[0]} is no row: {', '.join(ROWS)}")
    return names
