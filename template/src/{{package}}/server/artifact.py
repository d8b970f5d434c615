"""The model's artifact and its seal: a digest, for `sha256sum -c` too, that is checked before the model loads it."""

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .logs import logger


class LoadError(Exception):
    """Why no model can be served, for the author; a traceback would not help."""


TRAINING = "train.py"  # the script that `make model` runs


@dataclass(frozen=True)
class Seal:
    """What the file beside an artifact says: its digest, and by comments what wrote it.

    `script` is the one that sealed it: empty if that was done by hand, None if the seal does not say.
    """

    digest: str | None
    script: str | None
    versions: tuple[tuple[str, str], ...]


def seal(path: Path, distribution: str) -> None:
    """Writes the artifact's digest beside it, with the installed version of `distribution` as what wrote it."""
    script = Path(sys.argv[0]).name
    by = script if script.endswith(".py") else "hand"
    write_seal(path, by, f"# written with {distribution} {metadata.version(distribution)}\n")


def write_seal(path: Path, by: str, about: str = "") -> None:
    """Writes the artifact's digest beside it, below the comments `about` and who sealed it: a script, or `hand`."""
    unfinished = path.with_name(f"{path.name}.sha256.{os.getpid()}")
    name = path.name.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")
    mark = "" if name == path.name else "\\"  # how sha256sum says that the name has escapes
    unfinished.write_text(f"{about}# sealed by {by}\n{mark}{sha256(path)}  {name}\n", encoding="utf-8", newline="\n")
    unfinished.replace(_seal_path(path))


def read_seal(path: Path) -> Seal | None:
    """The seal of the artifact at `path`; None if there is no file."""
    seal_path = _seal_path(path)
    if not seal_path.exists():
        return None
    text = seal_path.read_text(encoding="utf-8")
    digest = re.search(r"^\\?([0-9a-f]{64}) ", text, re.MULTILINE | re.IGNORECASE)
    versions = re.findall(r"^# written with (\S+) (\S+)$", text, re.MULTILINE)
    by = re.search(r"^# sealed by (.+)$", text, re.MULTILINE)
    script = by[1] if by else None if versions else ""
    return Seal(digest[1].lower() if digest else None, "" if script == "hand" else script, tuple(versions))


def verify(path: Path, expected: str | None) -> str | None:
    """Raises LoadError unless the digest is `expected`, or else that of the seal; warns of what cannot be checked.

    Returns the digest, or None where there is none to compare with.
    """
    if not path.exists():
        raise LoadError(_missing(path))
    seal = read_seal(path)
    digest: str | None = None
    if expected is not None:
        digest = _checked_digest(path, expected, "MODEL_SHA256")
    elif seal is not None:
        digest = _checked_digest(path, seal.digest, _seal_path(path).name)
    else:
        logger.warning(
            "the artifact %s is not verified: it has no .sha256 file and MODEL_SHA256 is not set; to seal it: %s",
            path,
            how_to_seal(path),
        )
    _compare_versions(path, seal.versions if seal is not None else ())
    return digest


def refuse_to_replace(path: Path) -> None:
    """Ends a script that would write an artifact over one that was put there by hand, unless REPLACE=1 is set."""
    if is_given(path) and os.environ.get("REPLACE") != "1":
        raise SystemExit(
            f"{path} was not sealed by train.py, which would replace it. To serve it, do not train.\n"
            "To train, move it to another place first, or run `make model REPLACE=1` to replace it."
        )


def is_given(path: Path) -> bool:
    """Whether there is a file at `path` that neither train.py nor this script has sealed as it is now."""
    if not path.is_file():
        return False  # a folder has no digest, so nobody can say
    seal = read_seal(path)
    own = (TRAINING, Path(sys.argv[0]).name, None)  # None: a seal of an earlier version of the template
    return seal is None or seal.script not in own or seal.digest != sha256(path)


def how_to_seal(path: Path) -> str:
    """The command that seals an artifact by hand."""
    return f"(cd {path.parent} && sha256sum {path.name} > {path.name}.sha256)"


def _seal_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _missing(path: Path) -> str:
    """What is there in place of the artifact that is missing."""
    try:
        names = sorted(item.name for item in path.parent.iterdir())
    except OSError:
        names = []
    there = [name for name in names if not name.startswith((".", "partial-")) and not name.endswith(".sha256")]
    if not there:
        return f"the artifact {path} does not exist: `make model` writes one, MODEL_PATH names another"
    listed = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
    return (
        f"the artifact {path} does not exist, but {path.parent} has {listed}: "
        "ARTIFACT in model.py or the setting MODEL_PATH names the one to load"
    )


def _checked_digest(path: Path, expected: str | None, source: str) -> str:
    digest = sha256(path)
    if digest != expected:
        remedy = "correct MODEL_SHA256" if source == "MODEL_SHA256" else f"seal it: {how_to_seal(path)}"
        raise LoadError(
            f"the artifact {path} is damaged or another one: SHA-256 {digest}, {source} says {expected or 'none'}. "
            f"If you put it there, {remedy}; if not, restore the right one"
        )
    return digest


def _compare_versions(path: Path, versions: Iterable[tuple[str, str]]) -> None:
    """Warns where another version of a framework is installed than wrote the artifact."""
    for distribution, version in versions:
        installed = next((each.version for each in metadata.distributions(name=distribution)), "none")
        if installed != version:
            logger.warning("%s was written with %s %s; installed is %s", path, distribution, version, installed)


def sha256(path: Path) -> str:
    """The digest of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
