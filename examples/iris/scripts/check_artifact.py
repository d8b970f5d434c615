"""Check each file in artifacts/ against its .sha256. The make targets that use an artifact run this first.

`make model` runs it with --before-training, which ends it if train.py would replace an artifact that was put there by
hand, and with --after-training, which seals the new one if train.py did not.
"""

from __future__ import annotations

import sys
from pathlib import Path

from iris.server.artifact import TRAINING, LoadError, is_given, refuse_to_replace, verify, write_seal

ARTIFACTS = Path("artifacts")


def main() -> str | None:
    """The first mismatch, with a remedy; None if all files match."""
    match sys.argv[1:]:
        case ["--before-training"]:
            for artifact in _given():
                refuse_to_replace(artifact)
            return None
        case ["--after-training"]:
            for artifact in _given():
                write_seal(artifact, TRAINING)
            return None
    for digest in sorted(ARTIFACTS.glob("*.sha256")):
        try:
            verify(digest.with_suffix(""), None)
        except LoadError as error:
            return str(error)
    return None


def _given() -> list[Path]:
    """The model's artifact, if train.py has not sealed it as it is now."""
    artifacts = [path for path in ARTIFACTS.glob("[!.]*") if path.suffix != ".sha256"]
    if not any(map(is_given, artifacts)):
        return []  # there is no need to import model.py, and with it the framework
    from iris.model import ARTIFACT

    return [ARTIFACT] if is_given(ARTIFACT) else []


if __name__ == "__main__":
    raise SystemExit(main())
