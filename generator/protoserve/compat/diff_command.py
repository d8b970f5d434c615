"""`protoserve diff`, and the same through a project's scripts/generate.py."""

from __future__ import annotations

import argparse
import sys

from protoserve.compat import CompatError
from protoserve.compat.output import FORMATS
from protoserve.compat.project_comparison import compare_with_revision
from protoserve.platform.printing import write


def diff(arguments: argparse.Namespace) -> int:
    """Exit code 0 for compatible contracts, 1 for breaking ones. Raises ProtoserveError and UnwritableError."""
    comparison = compare_with_revision(arguments.project, arguments.revision)
    try:
        text = FORMATS[arguments.format](comparison)
    except ModuleNotFoundError as error:
        raise CompatError(f"--format table needs {error.name}: use another format, or install it") from None
    write(text)
    if not arguments.stable_only:
        return 1 if comparison.breaking else 0
    if comparison.stable_breaking and not comparison.breaking:
        print("protoserve: a stable contract became a draft: its next break would pass unnoticed", file=sys.stderr)
    return 1 if comparison.stable_breaking else 0
