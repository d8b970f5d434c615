"""The folder of a new project: whether it can be created, and removing what was written into it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protoserve.platform import answers, interrupts
from protoserve.project.new import NewError

# What may lie in a folder that counts as empty; nothing of a project has these names.
_NOT_CONTENT = (".git", ".DS_Store", "lost+found")
_SHOWN = 5


def check(dest: str) -> Path:
    """The path of the folder, which can be created or is empty and can be written. Raises NewError."""
    path = Path(dest)
    if not dest.strip():
        raise NewError("DEST is empty: name the folder of the project, such as iris")
    try:
        dest.encode("utf-8")
    except UnicodeEncodeError:
        raise NewError(f"{dest!r} must be UTF-8: choose another name") from None
    try:
        _check_kind(path)
        content = _content(path)
        if content:
            raise NewError(_not_empty(path, content))
        _try_to_write(path)
    except OSError as error:
        raise NewError(_reason(path, error)) from None
    return path


@contextmanager
def emptied_on_failure(path: Path) -> Iterator[None]:
    """Creates the folder; if the block fails or is interrupted, everything is as it was before.

    Raises OSError if the folder cannot be created.
    """
    missing = _missing(path)
    before = set(os.listdir(path)) if not missing else set()
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
        interrupts.complete()
    except BaseException:
        _remove_content(path, before)
        for folder in missing:
            _remove_empty(folder)
        raise


def _check_kind(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise NewError(f"{path} is a symbolic link to {path.readlink()}, which does not exist: choose another folder")
    if path.exists() and not path.is_dir():
        raise NewError(f"{path} is a file, not a folder: choose another name")
    for parent in path.parents:
        if parent.is_symlink() and not parent.exists():
            raise NewError(f"{path} cannot be created: {parent} is a symbolic link to nothing; choose another folder")
        if parent.exists() and not parent.is_dir():
            raise NewError(f"{path} cannot be created: {parent} is a file; choose another folder")


def _content(path: Path) -> list[str]:
    return sorted(set(os.listdir(path)) - set(_NOT_CONTENT)) if path.is_dir() else []


def _not_empty(path: Path, content: list[str]) -> str:
    name = path.resolve() if str(path) == "." else path
    more = f" and {len(content) - _SHOWN} more" if len(content) > _SHOWN else ""
    remedy = (
        f"it is a protoserve project already; `protoserve update {path}` brings it to the newest template"
        if answers.FILE in content
        else f"choose a folder that does not exist, or bring the server in this one under the template with "
        f"`protoserve adopt {path}`"
    )
    return f"{name} is not empty, it has {', '.join(content[:_SHOWN])}{more}: {remedy}"


def _try_to_write(path: Path) -> None:
    """Raises OSError if nothing can be written there."""
    missing = _missing(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    finally:
        for folder in missing:
            _remove_empty(folder)


def _missing(path: Path) -> list[Path]:
    """The folder and its parents that do not exist, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _reason(path: Path, error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return f"{path.name[:40]}... cannot be created: the name is too long; choose a shorter one"
    return f"{path} cannot be written ({error.strerror}): choose another folder"


def _remove_content(path: Path, kept: set[str]) -> None:
    """Removes what is in the folder; a process that was stopped may have written more meanwhile."""
    for attempt in range(5):
        names = set(os.listdir(path)) - kept if path.is_dir() else set()
        for name in names:
            entry = path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        if not names:
            return
        time.sleep(0.02 * attempt)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # it was not created, or is not ours alone any more
