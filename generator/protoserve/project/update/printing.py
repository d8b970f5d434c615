"""What an update prints: its summary, the diff of a dry run, or that there is nothing to do."""

from __future__ import annotations

import argparse
import sys

from protoserve.platform import answers
from protoserve.platform.printing import UnwritableError, write
from protoserve.project.update import summary
from protoserve.project.update.outcome import Outcome
from protoserve.project.update.request import Request
from protoserve.project.update.template_versions import Comparison, Recorded, Standing


def print_summary(outcome: Outcome, form: str) -> None:
    """Prints the summary. The update is done by now, and stays so even if nobody can read about it."""
    try:
        write(summary.render(outcome, form, sys.stdout))
    except UnwritableError as error:
        print(
            f"protoserve: the project is updated, but its summary cannot be written: {error.strerror}; `git diff` "
            "shows what changed",
            file=sys.stderr,
        )


def print_dry_run(outcome: Outcome, changes: bytes, form: str) -> None:
    """Prints the diff, with the summary in it (JSON) or on standard error."""
    if form == "json":
        write(summary.as_json(outcome, changes.decode(errors="replace")))
    else:
        write(changes)
        print(summary.render(outcome, form, sys.stderr), file=sys.stderr)


def without_source_credentials(changes: bytes, recorded: Recorded) -> bytes:
    """The diff, in which the line beside the version does not show the credentials of the template's URL."""
    printable = changes.replace(recorded.source.encode(), recorded.printable_source.encode())
    if printable != changes:
        print(
            f"note: the diff of {answers.FILE} leaves out the credentials of the template's URL, so `git apply` "
            "refuses that file",
            file=sys.stderr,
        )
    return printable


def print_newest(options: argparse.Namespace, request: Request, compared: Comparison) -> None:
    """Says that the project has the newest version."""
    is_later = compared.standing is Standing.LATER
    relation = f"after the newest release, {compared.newest}," if is_later else "the newest version"
    source = request.recorded.printable_source
    print_nothing_to_do(options, request, f"already at {compared.project}, {relation} of {source}")


def print_nothing_to_do(options: argparse.Namespace, request: Request, text: str) -> None:
    """Says why there is nothing to do; in JSON, an outcome without changes."""
    if options.format == "json":
        commit = request.recorded.commit
        outcome = Outcome(request.project_name, request.recorded.printable_source, commit, commit)
        write(summary.as_json(outcome, "" if options.dry_run else None))
    else:
        print(text, file=sys.stderr if options.dry_run else sys.stdout)
