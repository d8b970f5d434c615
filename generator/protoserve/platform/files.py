"""Writes sets of files, all of them or none, and puts files back as they were."""

from __future__ import annotations

import errno
import filecmp
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from protoserve.platform.blocked_paths import Links, refuse_blocked, refuse_outside
from protoserve.platform.open_folder import OpenFolder, open_folder
from protoserve.platform.reading import files_below

# The errors of a disk without room, and of a user who may not have more of it.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_IN_WORDS = re.compile(r"No space left on device|Disk quota exceeded|unable to write file")


def path_of(text: str) -> Path:
    """The path that a user's text names, `~` replaced by the home folder where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def with_remedy_for_full_disk(text: str) -> str:
    """The text of an error, with what to do if the temporary folder may be full, of which git does not always speak."""
    if not _FULL_IN_WORDS.search(text):
        return text
    return f"{text}; {tempfile.gettempdir()} may be full: free some of it, or let TMPDIR name another folder"


def is_file(path: Path) -> bool:
    """Whether a regular file is at the path; False, too, for a text that is too long for a path or has a null."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def write_all(root: Path, contents: Mapping[str, bytes | Path], removed: Collection[str] = ()) -> None:
    """Writes files below `root`, and removes others with the folders that become empty: all of this, or nothing.

    A content is bytes, or the path of a file or link to copy with its mode and times. Another process sees each file
    either old or new. Raises OSError with everything as it was; after an interrupt it is so, too. Raises
    BlockedPathError if a folder or the like lies where a file goes, or a link or a name leads out of `root`.
    """
    refuse_outside([*contents, *removed])
    refuse_blocked(root, contents, Links.INSIDE, "protoserve writes")
    staged: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="protoserve-undo-") as store:
        snapshot = Snapshot(Path(store))
        snapshot.keep(root / name for name in (*contents, *removed))
        try:
            for name, content in contents.items():
                with _folder_of(root, name) as folder:
                    staged[name] = _stage(folder, PurePath(name).name, content)
            for name, temporary in staged.items():
                with _folder_of(root, name) as folder:
                    folder.replace(temporary, PurePath(name).name)
            for name in removed:
                _remove(root, name)
        except BaseException:
            for name, temporary in staged.items():
                with suppress(OSError), _folder_of(root, name) as folder:
                    folder.unlink(temporary)
            snapshot.restore()
            raise


@contextmanager
def _folder_of(root: Path, name: str) -> Iterator[OpenFolder]:
    """The open folder of a file below `root`, created if it does not exist; errors name the file."""
    with _errors_name(root / name), open_folder(root, (root / name).parent, create=True) as folder:
        yield folder


def _remove(root: Path, name: str) -> None:
    """Removes a file, if it exists, and the folders that become empty."""
    parent = (root / name).parent
    if not parent.is_dir():
        return
    with _errors_name(root / name), open_folder(root, parent) as folder:
        folder.unlink(PurePath(name).name)
    _remove_empty_folders(root, parent)


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Lets errors of the file system name this path, not the temporary file from which it is written."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@dataclass
class Snapshot:
    """Files as they are before something is written; copies of them lie in the folder `store`."""

    store: Path
    _copies: dict[Path, Path | None] = field(default_factory=dict)  # None for a path where no file was
    _real_folders: dict[Path, str] = field(default_factory=dict)  # of these paths
    _missing_folders: set[Path] = field(default_factory=set)
    _folders: list[Path] = field(default_factory=list)

    def keep(self, paths: Iterable[Path]) -> None:
        """Keeps these files, or that they do not exist. Raises OSError."""
        for path in paths:
            if path in self._copies:
                continue
            self._real_folders[path] = os.path.realpath(path.parent)
            if _is_file_or_link(path):
                copy = self.store / str(len(self._copies))
                self._copy(path, copy)
                self._copies[path] = copy
            else:
                self._copies[path] = None
            self._missing_folders.update(folder for folder in path.parents if not folder.exists())

    def _copy(self, path: Path, copy: Path) -> None:
        try:
            if path.is_symlink():
                copy.symlink_to(os.readlink(path))
            else:
                shutil.copy2(path, copy, follow_symlinks=False)
        except OSError as error:
            full = error.errno in _FULL
            raise OSError(error.errno, error.strerror, str(self.store.parent if full else path)) from None

    def keep_folder(self, folder: Path) -> None:
        """Keeps all files of a folder, and that it has no others. Raises OSError."""
        self.keep(files_below(folder))
        self._folders.append(folder)  # last, since `restore` removes the files of these folders that were not kept

    def restore(self) -> None:
        """Puts everything back, the times of the files included. Raises OSError."""
        for folder in self._folders:
            for path in files_below(folder):
                if path not in self._copies:
                    path.unlink()
        for path, copy in self._copies.items():
            if os.path.realpath(path.parent) != self._real_folders[path]:
                continue  # somebody has put a link in place of a folder meanwhile: what is there is not ours
            if copy is None:
                if _is_file_or_link(path):
                    path.unlink()
            elif not _is_unchanged(path, copy):
                path.parent.mkdir(parents=True, exist_ok=True)
                with OpenFolder.at(path.parent) as parent:
                    parent.replace(_stage(parent, path.name, copy), path.name)
        for folder in sorted(self._missing_folders, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _stage(folder: OpenFolder, target: str, content: bytes | Path) -> str:
    """Writes the content beside the file `target`, with the mode that it shall have; returns its temporary name."""
    temporary = f".protoserve-{secrets.token_hex(8)}"
    try:
        if isinstance(content, Path) and content.is_symlink():
            folder.symlink(os.readlink(content), temporary)
        elif isinstance(content, Path):
            status = content.stat()
            with content.open("rb") as source, os.fdopen(folder.create(temporary), "wb") as file:
                shutil.copyfileobj(source, file)
            folder.chmod(temporary, stat.S_IMODE(status.st_mode))
            folder.set_times(temporary, (status.st_atime_ns, status.st_mtime_ns))
        else:
            with os.fdopen(folder.create(temporary), "wb") as file:
                file.write(content)
            folder.chmod(temporary, _mode(folder, target))
    except BaseException:
        folder.unlink(temporary)
        raise
    return temporary


def _mode(folder: OpenFolder, name: str) -> int:
    """The mode for a file: of the one that it replaces, else that of a new file."""
    try:
        mode = folder.lstat(name).st_mode
    except FileNotFoundError:
        mode = 0
    return mode & 0o777 if stat.S_ISREG(mode) else 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_file_or_link(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _is_unchanged(path: Path, copy: Path) -> bool:
    if not _is_file_or_link(path) or path.is_symlink() or copy.is_symlink():
        return False
    same_attributes = path.stat().st_mtime_ns == copy.stat().st_mtime_ns and path.stat().st_mode == copy.stat().st_mode
    return same_attributes and filecmp.cmp(path, copy, shallow=False)


def _remove_empty_folders(root: Path, folder: Path) -> None:
    """Removes `folder` and those above it, below `root`, as long as they are empty."""
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
