"""The arguments of the commands of this package; imports nothing that takes time."""

from __future__ import annotations

import argparse
from pathlib import Path

FORMS = ("words", "table", "json", "markdown")


def diff(parser: argparse.ArgumentParser) -> None:
    """The arguments of `diff`, but for the project."""
    parser.add_argument("revision", metavar="REV", nargs="?", default="HEAD", help="a git revision (default: HEAD)")
    parser.add_argument("--format", choices=FORMS, default="words", help="the form of the output (default: words)")
    parser.add_argument(
        "--stable-only", action="store_true", help="exit 1 only for breaks of a contract that is stable at REV"
    )


def version(parser: argparse.ArgumentParser) -> None:
    """The arguments of `version`, but for the project."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", metavar="NAME", nargs="?", help="the version to start, v2 for example")
    which.add_argument("--drop", metavar="NAME", help="end the oldest version instead")


def accept_breaking(parser: argparse.ArgumentParser) -> None:
    """`--accept-breaking` of `generate`."""
    parser.add_argument(
        "--accept-breaking",
        action="store_true",
        help="write what breaks callers of a stable contract, too; what is gone is put into `reserved`",
    )


def renumber(parser: argparse.ArgumentParser) -> None:
    """The arguments of `renumber`, but for the project."""
    parser.add_argument(
        "--base", metavar="REV", help="the main branch (default: origin/main, origin/master, main or master)"
    )


def project(parser: argparse.ArgumentParser) -> None:
    """`--project DIR`."""
    parser.add_argument(
        "--project", metavar="DIR", type=Path, default=Path(), help="the folder of the project (default: here)"
    )
