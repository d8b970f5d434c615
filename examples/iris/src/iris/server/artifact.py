"""The model's artifact and its seal: a digest, for `sha256sum -c` too, that is checked before the model loads it."""

import hashlib
import os
import re
from importlib import metadata
from pathlib import Path

from .logs import logger


class LoadError(Exception):
    """Why no model can be served, for the author; a traceback would not help."""


def seal(path: Path, distribution: str) -> None:
    """Writes the artifact's digest beside it, with the installed version of `distribution` as what wrote it."""
    text = f"# written with {distribution} {metadata.version(distribution)}\n{_sha256(path)}  {path.name}\n"
    unfinished = path.with_name(f"{path.name}.sha256.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(_seal_path(path))


def verify(path: Path, expected: str | None) -> None:
    """Raises LoadError unless the digest is `expected`, or else that of the seal; warns of what cannot be checked."""
    if not path.exists():
        raise LoadError(f"the artifact {path} does not exist: `make model` writes one, MODEL_PATH names another")
    seal_path = _seal_path(path)
    seal_text = seal_path.read_text(encoding="utf-8") if seal_path.exists() else None
    if expected is not None:
        _check_digest(path, expected, "MODEL_SHA256")
    elif seal_text is not None:
        _check_digest(path, _sealed_digest(seal_text), seal_path.name)
    else:
        logger.warning("the artifact %s is not verified: it has no .sha256 file and MODEL_SHA256 is not set", path)
    _compare_versions(path, seal_text or "")


def _seal_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sealed_digest(seal_text: str) -> str | None:
    line = re.search(r"^\\?([0-9a-f]{64}) ", seal_text, re.MULTILINE | re.IGNORECASE)
    return line[1].lower() if line else None


def _check_digest(path: Path, expected: str | None, source: str) -> None:
    digest = _sha256(path)
    if digest != expected:
        raise LoadError(f"the artifact {path} is damaged or another one: SHA-256 {digest}, {source} says {expected}")


def _compare_versions(path: Path, seal_text: str) -> None:
    """Warns where another version of a framework is installed than wrote the artifact."""
    for distribution, version in re.findall(r"^# written with (\S+) (\S+)$", seal_text, re.MULTILINE):
        installed = next((each.version for each in metadata.distributions(name=distribution)), "none")
        if installed != version:
            logger.warning("%s was written with %s %s; installed is %s", path, distribution, version, installed)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
