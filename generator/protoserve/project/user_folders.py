"""Folders of the user that protoserve and Copier work in, and others in their place where they cannot be used."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protoserve.platform.errors import ProtoserveError

_SYSTEM_FOLDERS = ("/tmp", "/var/tmp")


class TemporaryFolderError(ProtoserveError):
    """There is no temporary folder to work in."""


@contextmanager
def temporary_folder_outside(repository: Path) -> Iterator[None]:
    """Takes another temporary folder if the user's lies in the repository, where git would list what is in it.

    Raises TemporaryFolderError if no other folder can be written.
    """
    try:
        chosen = Path(tempfile.gettempdir()).resolve()
    except FileNotFoundError as error:
        raise TemporaryFolderError(f"{error.strerror or error}: set TMPDIR to a folder that can be written") from None
    if not chosen.is_relative_to(repository):
        yield
        return
    other = next((path for path in map(Path, _SYSTEM_FOLDERS) if _outside(path, repository) and _writable(path)), None)
    if other is None:
        raise TemporaryFolderError(
            f"the temporary folder, {chosen}, lies in the repository {repository}: set TMPDIR to a folder outside of it"
        )
    with environment_variable("TMPDIR", str(other)):
        tempfile.tempdir = str(other)
        try:
            yield
        finally:
            tempfile.tempdir = None  # Python looks it up again


@contextmanager
def copier_cache() -> Iterator[None]:
    """Gives Copier a temporary cache if it could not write its own, as without a home folder."""
    named = os.environ.get("COPIER_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    if _writable(Path(named or os.path.expanduser("~/.cache"))):
        yield
        return
    with (
        tempfile.TemporaryDirectory(prefix="protoserve-cache-", ignore_cleanup_errors=True) as folder,
        environment_variable("COPIER_CACHE_DIR", folder),
    ):
        yield


def _outside(folder: Path, repository: Path) -> bool:
    return not folder.resolve().is_relative_to(repository)


def _writable(folder: Path) -> bool:
    """Whether files can be written there; only trying can say."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Sets a variable of the environment for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
