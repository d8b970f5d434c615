"""The model's artifact: `train.py` seals it with a digest, which is checked before the author's class loads it.

`model.skops.sha256`, beside the artifact, is what `sha256sum -c` reads, below a line that says what wrote the artifact.
"""

import hashlib
import importlib
import os
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import contract
from .logs import logger


class LoadError(Exception):
    """Why no model can be served, for the author; no traceback would help."""


def seal(path: Path, distribution: str) -> None:
    """Writes beside the artifact at `path` its digest, and the installed version of `distribution` as what wrote it."""
    text = f"# written with {distribution} {metadata.version(distribution)}\n{_sha256(path)}  {path.name}\n"
    unfinished = path.with_name(f"{path.name}.sha256.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(path.with_name(f"{path.name}.sha256"))


def check(path: Path, expected: str | None) -> None:
    """Raises LoadError unless the artifact has the digest `expected`, or else the one beside it.

    No digest at all, and another version of the framework than wrote the artifact, are warnings.
    """
    if not path.exists():
        raise LoadError(f"the artifact {path} does not exist: `make model` writes one, MODEL_PATH names another")
    beside = path.with_name(f"{path.name}.sha256")
    text = beside.read_text(encoding="utf-8") if beside.exists() else ""
    sealed = re.search(r"^\\?([0-9a-f]{64}) ", text, re.MULTILINE | re.IGNORECASE)
    wanted, source = (expected, "MODEL_SHA256") if expected else (sealed and sealed[1].lower(), beside.name)
    if wanted is None and not text:
        logger.warning("the artifact %s is not verified: it has no .sha256 file and MODEL_SHA256 is not set", path)
    elif (found := _sha256(path)) != wanted:
        raise LoadError(
            f"the artifact {path} is damaged or another one: its SHA-256 is {found}, {source} says {wanted}"
        )
    for distribution, version in re.findall(r"^# written with (\S+) (\S+)$", text, re.MULTILINE):
        installed = next((found.version for found in metadata.distributions(name=distribution)), "none")
        if installed != version:
            logger.warning("%s was written with %s %s; installed is %s", path, distribution, version, installed)


def load(path: Path | None, sha256: str | None) -> Mapping[str, Callable[[Any], Any]]:
    """The model's methods by their names in the contract; `path` None means ARTIFACT in its module."""
    module = importlib.import_module("..model", __package__)
    if missing := [m.attribute for m in contract.METHODS if not _has(getattr(module, "Model", None), m.attribute)]:
        raise LoadError(
            f"write {', '.join(missing)} in class Model of {module.__file__}, as contract.ModelInterface has it"
        )
    path = path or Path(module.ARTIFACT)
    check(path, sha256)
    logger.info("loading %s", path)
    model = module.Model(path)
    return {method.name: getattr(model, method.attribute) for method in contract.METHODS}


def _has(model: object, name: str) -> bool:
    """Whether the author wrote the method: one that is inherited from the protocol would return None."""
    found = getattr(model, name, None)
    inherited = found is getattr(contract.ModelInterface, name) or getattr(found, "__isabstractmethod__", False)
    return callable(found) and not inherited


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
