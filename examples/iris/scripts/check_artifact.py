"""Check each file in artifacts/ against its .sha256. The make targets that use an artifact run this first.

With --before-training, check instead that training would not replace an artifact that was put there by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from iris.server.artifact import LoadError, is_given, refuse_to_replace, verify

ARTIFACTS = Path("artifacts")


def main() -> str | None:
    """The first mismatch, with a remedy; None if all files match."""
    if sys.argv[1:] == ["--before-training"]:
        _check_before_training()
        return None
    for digest in sorted(ARTIFACTS.glob("*.sha256")):
        try:
            verify(digest.with_suffix(""), None)
        except LoadError as error:
            return str(error)
    return None


def _check_before_training() -> None:
    """Ends this script if train.py would replace an artifact that was put there by hand."""
    artifacts = [path for path in ARTIFACTS.glob("[!.]*") if path.suffix != ".sha256"]
    if any(map(is_given, artifacts)):  # else there is no need to import model.py, and with it the framework
        from iris.model import ARTIFACT

        refuse_to_replace(ARTIFACT)


if __name__ == "__main__":
    raise SystemExit(main())
