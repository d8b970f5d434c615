"""`protoserve diff`, and the same through a project's scripts/generate.py."""

from __future__ import annotations

import argparse
import sys

from protoserve.compat import EvolveError
from protoserve.compat.output import FORMATS
from protoserve.compat.since_revision import against
from protoserve.platform.printing import write


def diff(given: argparse.Namespace) -> int:
    """Exit code 0 for compatible contracts, 1 for breaking ones. Raises ProtoserveError and UnwritableError."""
    comparison = against(given.project, given.revision)
    try:
        text = FORMATS[given.format](comparison)
    except ModuleNotFoundError as error:
        raise EvolveError(f"--format table needs {error.name}: use another format, or install it") from None
    write(text)
    broken = comparison.stable_breaking if given.stable_only else comparison.breaking
    if given.stable_only and not comparison.breaking and broken:
        print("protoserve: a contract that was stable is so no more: what breaks it next would pass", file=sys.stderr)
    return 1 if broken else 0
