"""The arguments of `protoserve update`. Imports nothing that takes time."""

from __future__ import annotations

import argparse

from protoserve.shared_commands import Command, add_project


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the project and the options."""
    add_project(parser)
    add = parser.add_argument
    add(
        "--to",
        metavar="REV",
        help="a tag, branch or commit of the template; latest: its newest tag, which is the default without --set",
    )
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=key_and_value,
        help="another answer to a question; without --to the version of the template stays",
    )
    add("--dry-run", action="store_true", help="change nothing, and print the diff")
    add("--smoke", action="store_true", help="run the project's check and smoke; undo the update if they fail")
    add(
        "--format",
        choices=("markdown", "json"),
        default="markdown",
        help="the format of the summary; default: %(default)s",
    )


def key_and_value(text: str) -> tuple[str, str]:
    """The two parts of KEY=VALUE. Raises ArgumentTypeError."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"{text} must be KEY=VALUE, such as port=9000")
    return key, value


UPDATE = Command(
    "update",
    "bring a project to another version of its template",
    "Merges what changed in the template into a project: all of it, or nothing. Exit code 0: done; 3: done, with "
    "conflicts in the files that are named; 1: refused or failed, the project is as it was.",
    add_arguments,
)
