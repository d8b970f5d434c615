"""The model's artifact: sealed with a digest, for `sha256sum -c` too, that is checked before the model loads it."""

import gc
import hashlib
import importlib
import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from ..contract import served
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
    """Raises LoadError unless the artifact's digest is `expected`, or the one beside it; warns where neither is."""
    if not path.exists():
        raise LoadError(f"the artifact {path} does not exist: `make model` writes one, MODEL_PATH names another")
    beside = path.with_name(f"{path.name}.sha256")
    text = beside.read_text(encoding="utf-8") if beside.exists() else ""
    sealed = re.search(r"^\\?([0-9a-f]{64}) ", text, re.MULTILINE | re.IGNORECASE)
    wanted, source = (expected, "MODEL_SHA256") if expected else (sealed and sealed[1].lower(), beside.name)
    if wanted is None and not beside.exists():
        logger.warning("the artifact %s is not verified: it has no .sha256 file and MODEL_SHA256 is not set", path)
    elif (found := _sha256(path)) != wanted:
        raise LoadError(f"the artifact {path} is damaged or another one: SHA-256 {found}, {source} says {wanted}")
    for distribution, version in re.findall(r"^# written with (\S+) (\S+)$", text, re.MULTILINE):
        installed = next((found.version for found in metadata.distributions(name=distribution)), "none")
        if installed != version:
            logger.warning("%s was written with %s %s; installed is %s", path, distribution, version, installed)


def load(model_path: str | None, sha256: str | None, platforms: list[Any]) -> dict[str, Any]:
    """What answers each method, by its path; the artifact is at the path, where a platform has it, or at ARTIFACT."""
    gc.disable()  # imports make a hundred thousand objects and next to no garbage
    module = importlib.import_module("..model", __package__)
    gc.freeze()
    gc.enable()
    if missing := served.missing_code(module):
        raise LoadError(missing)
    path = Path(model_path or next(filter(None, (it.fetch(module.ARTIFACT) for it in platforms)), module.ARTIFACT))
    check(path, sha256)
    logger.info("loading %s", path)
    model = module.Model(path)
    return {method.path: method.bind(model) for method in served.METHODS}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
