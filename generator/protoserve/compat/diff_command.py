"""`protoserve diff`, and the same through a project's scripts/generate.py."""

from __future__ import annotations

import argparse
import sys

from protoserve.compat import EvolveError
from protoserve.compat.output import FORMATS
from protoserve.compat.since_revision import against
from protoserve.platform import answers
from protoserve.platform.git import GitError
from protoserve.platform.printing import UnwritableError, write
from protoserve.schema.errors import SchemaError


def diff(given: argparse.Namespace) -> int:
    """Exit code 0 for compatible contracts, 1 for breaking ones, 2 where they could not be compared."""
    try:
        comparison = against(given.project, given.revision)
        text = FORMATS[given.format](comparison)
    except ModuleNotFoundError as error:
        print(f"protoserve: --format table needs {error.name}: take another form, or install it", file=sys.stderr)
        return 2
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 2
    except (EvolveError, GitError, answers.AnswersError) as error:
        print(f"protoserve: {error}", file=sys.stderr)
        return 2
    try:
        write(text)
    except UnwritableError as error:
        print(f"protoserve: the comparison cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    broken = comparison.stable_breaking if given.stable_only else comparison.breaking
    if given.stable_only and not comparison.breaking and broken:
        print("protoserve: a contract that was stable is so no more: what breaks it next would pass", file=sys.stderr)
    return 1 if broken else 0
