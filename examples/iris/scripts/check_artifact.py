"""Check each file in artifacts/ against its .sha256. The make targets that use an artifact run this first."""

from __future__ import annotations

from pathlib import Path

from iris.server.artifact import LoadError, verify


def main() -> str | None:
    """The first mismatch, with a remedy; None if all files match."""
    for digest in sorted(Path("artifacts").glob("*.sha256")):
        artifact = digest.with_suffix("")
        try:
            verify(artifact, None)
        except LoadError as error:
            remedy = "; `make model` trains another, README.md says how to seal this one" if artifact.exists() else ""
            return f"{error}{remedy}"
    return None


if __name__ == "__main__":
    raise SystemExit(main())
