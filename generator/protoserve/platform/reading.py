"""Reads files that others wrote: regular files of a bounded size, inside the folder that they belong to.

A named pipe would make a command wait for ever, a device has no end, and a link may lead to a file of the user's whose
text would then stand in an error or in a generated file. So each file is looked at before it is opened, opened without
following a link, and looked at again.

Needs nothing but the standard library of Python 3.10, since Copier's interpreter imports it, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.open_folder import OpenFolder, OutsideError, open_folder
from protoserve.platform.printing import printable

MAX_BYTES = 16 * 2**20  # of a file; those of the template and of a contract are far smaller
MAX_ENTRIES = 100_000  # files and folders that are looked at below one folder
MAX_DEPTH = 100  # folders in folders
# What a shell opened for the command, as by `<(...)`: it is the user's own, and may be a pipe.
_OPENED_BY_THE_SHELL = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link that leads to itself",
}


class UnreadableFileError(ProtoserveError, OSError):
    """A file that is there, but is not read: the reason, and what to do. It is an OSError, as others of reading are."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(None, f"{reason}: {remedy}", str(path))
        self.reason, self.remedy = reason, remedy

    def __str__(self) -> str:
        return f"{printable(str(self.filename))} is {self.strerror}"


class NotAFileError(UnreadableFileError):
    """Something else than a regular file; `kind` says what, such as "a folder"."""

    def __init__(self, path: Path, mode: int) -> None:
        self.kind = _KINDS.get(stat.S_IFMT(mode), "a device")
        super().__init__(path, f"{self.kind}, not a regular file", "put the file itself there")


class TooLargeError(UnreadableFileError):
    """A file, or a folder, with more in it than is read."""


class LinkedOutError(UnreadableFileError):
    """A link that leads out of the folder that the file belongs to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "a link that leads out of the project", "put the file itself there")


class NotTextError(UnreadableFileError):
    """A file that is not UTF-8."""


def read_bytes(path: Path, root: Path | None = None, most: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most so many bytes.

    With `root`, which is for files that were not named by the user, the file must lie in that folder; a link may lead
    to another file in it. Raises UnreadableFileError, or another OSError, which names the path.
    """
    try:
        if root is None and str(path).startswith(_OPENED_BY_THE_SHELL):
            return _read(os.open(path, os.O_RDONLY), path, most)
        folder, name = _place(path, root)
        with folder:
            mode = folder.lstat(name).st_mode
            if not stat.S_ISREG(mode):
                raise NotAFileError(path, mode)
            return _read(folder.open(name), path, most, regular=True)
    except OutsideError:
        raise LinkedOutError(path) from None
    except UnreadableFileError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    except ValueError:  # a path with a null
        raise FileNotFoundError(2, "the path cannot exist", str(path)) from None


def read_text(path: Path, root: Path | None = None, most: int = MAX_BYTES, errors: str = "strict") -> str:
    """The same as text in UTF-8. Raises NotTextError, too."""
    data = read_bytes(path, root, most)
    try:
        return data.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"not UTF-8 (line {line} has the byte 0x{data[error.start]:02x})"
        raise NotTextError(path, reason, "save it as UTF-8") from None


def read_if_exists(path: Path, root: Path, most: int = MAX_BYTES) -> bytes | None:
    """The content of a file of the folder `root`, None if nothing or something else than a file of it is there.

    Raises TooLargeError, and OSError for a file that cannot be read.
    """
    try:
        return read_bytes(path, root, most)
    except (FileNotFoundError, NotADirectoryError, NotAFileError, LinkedOutError):
        return None


def files_below(folder: Path) -> list[Path]:
    """The files and links below a folder, sorted; none without such a folder. Links are not followed.

    Raises TooLargeError for more entries, or folders in folders, than are looked at, and OSError.
    """
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(_entries(folder))


def _entries(top: Path) -> Iterator[Path]:
    seen = 0
    folders = [(str(top), 0)]
    while folders:
        folder, depth = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if seen > MAX_ENTRIES or depth > MAX_DEPTH:
                    what = f"more than {MAX_ENTRIES} files, or more than {MAX_DEPTH} folders in folders"
                    raise TooLargeError(top, f"a folder with {what}", "move them away")
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, depth + 1))
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)


def _place(path: Path, root: Path | None) -> tuple[OpenFolder, str]:
    """The open folder of the file that a path leads to, and its name there."""
    real = Path(os.path.realpath(path))
    if root is None:
        return OpenFolder.at(real.parent), real.name
    top = Path(os.path.realpath(root))
    if not real.is_relative_to(top):
        raise OutsideError(str(path))
    return open_folder(top, real.parent), real.name


def _read(descriptor: int, path: Path, most: int, *, regular: bool = False) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if regular and not stat.S_ISREG(status.st_mode):  # it was replaced meanwhile
            raise NotAFileError(path, status.st_mode)
        data = file.read(most + 1) if status.st_size <= most else b""
        if status.st_size > most or len(data) > most:
            raise TooLargeError(path, f"larger than {_in_words(most)}", "is it the right file?")
        return data


def _in_words(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 2**20 else f"{size} bytes"
