"""What somebody may put in place of a file or a folder of a project, and what must hold for every command."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECRET = "SECRET-OF-THE-USER"
# Where others' files are read or written by a command.
PLACES = (
    *(".copier-answers.yml", "schema.yaml", "schemas/v0.yaml", ".protoserve", ".protoserve/generated.txt"),
    *(".protoserve/last/schema.yaml", ".protoserve/dropped.txt", "src", "src/iris/contract", "src/iris/contract/v1.py"),
    *("tests/requests/Predict.json", "proto", "scripts", "scripts/generate.py", "README.md", "artifacts"),
    *(".gitignore", ".gitattributes", ".git/info/exclude", ".git/HEAD"),
)
_LINES = 12  # on standard error


def _link(target: str) -> Callable[[Path, Path], None]:
    return lambda path, outside: path.symlink_to(target.format(outside=outside))


def _socket(path: Path, outside: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def _sparse(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


def _unreadable(path: Path, outside: Path) -> None:
    path.write_text("port: 1\n", encoding="utf-8")
    path.chmod(0)


def _deep_folders(path: Path, outside: Path) -> None:
    before = os.getcwd()
    path.mkdir()
    os.chdir(path)
    try:
        for _ in range(300):
            os.mkdir("d" * 20)
            os.chdir("d" * 20)
    finally:
        os.chdir(before)


def _aliases(path: Path, outside: Path) -> None:
    lines = ["package: iris", "framework: python", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path.write_text("\n".join(lines), encoding="utf-8")


SITUATIONS: dict[str, Callable[[Path, Path], None]] = {
    "a link to a file outside": _link("{outside}/secret.txt"),
    "a link to a folder outside": _link("{outside}"),
    "a link to nothing": _link("{outside}/nothing"),
    "a link to itself": lambda path, outside: path.symlink_to(path.name),
    "a link to a pipe": _link("{outside}/pipe"),
    "a link to a device without end": _link("/dev/zero"),
    "a link to a terminal": _link("/dev/tty"),
    "a link to this process": _link("/proc/self/mem"),
    "a named pipe": lambda path, outside: os.mkfifo(path),
    "a socket": _socket,
    "a folder": lambda path, outside: path.mkdir(),
    "deep folders": _deep_folders,
    "a file of 10 GB": _sparse,
    "a file that cannot be read": _unreadable,
    "bytes": lambda path, outside: path.write_bytes(b"\xff\xfe\0\x1b[31m" * 100) and None,
    "deep YAML": lambda path, outside: path.write_text("a: " + "[" * 100_000, encoding="utf-8") and None,
    "deep flows": lambda path, outside: path.write_text("a: " + "{a: " * 4000 + "}" * 4000, encoding="utf-8") and None,
    "aliases that grow": _aliases,
    "names that lead out": lambda path, outside: (
        path.write_text(
            f"../outside/kept.txt\n{outside}/kept.txt\n.git/HEAD\n\0\n{'x' * 5000}\n\x1b[31mred\n", encoding="utf-8"
        )
        and None
    ),
}


def make_outside(folder: Path) -> Path:
    """A folder beside the project, with a file whose text nothing may print, and a pipe."""
    folder.mkdir()
    (folder / "secret.txt").write_text(f"{SECRET}: yes\n", encoding="utf-8")
    (folder / "kept.txt").write_text("kept\n", encoding="utf-8")
    os.mkfifo(folder / "pipe")
    return folder


def put(situation: str, path: Path, outside: Path) -> None:
    """Puts something in place of whatever the project has at this path."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    SITUATIONS[situation](path, outside)


def everything(folder: Path) -> dict[str, bytes]:
    """The content of all files, and the names of what is no file."""
    paths = sorted(folder.rglob("*"))
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}


def check_output(what: str, code: int, output: str, errors: str) -> None:
    """What holds for every command, whatever is in the project: few words, no traceback, nothing from outside."""
    text = f"{what} exited {code}\n{output[-2000:]}\n{errors[-2000:]}"
    assert code in (0, 1, 2, 3), text
    assert "Traceback" not in errors + output, text
    assert SECRET not in errors + output, text
    assert code == 0 or len(errors.splitlines()) <= _LINES, text  # a dry run prints its summary there
    assert max(map(len, errors.splitlines()), default=0) < 3000, text
    assert "\x1b" not in errors, text


class TooSlowError(Exception):
    """A command did not end in its time."""


@contextmanager
def bounded(seconds: int, more_bytes: int = 2**31) -> Iterator[None]:
    """Ends what is in the block if it takes too long, and lets it have so many bytes more than the process has."""

    def stop(*_: object) -> None:
        raise TooSlowError(f"more than {seconds} s")

    limits = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError):
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, limits[1]))
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
