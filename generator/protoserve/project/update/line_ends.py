"""The line ends of the files that a merge has written, where git gives files others than it stores."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from protoserve.platform.git import git, git_line, git_paths


def restore_line_ends(folder: Path, names: Iterable[str]) -> None:
    """Gives these files of the scratch repository `folder` the line ends with which git would check them out.

    Copier renders all files with LF, and git lists a file whose size has changed even if nothing else has. The index
    stays as it is. Raises GitError.
    """
    files = [name for name in names if (folder / name).is_file() and not (folder / name).is_symlink()]
    listed = b"".join(os.fsencode(name) + b"\0" for name in files)
    if not files or not _converts(folder, listed):
        return
    with tempfile.TemporaryDirectory(prefix="protoserve-line-ends-") as temporary:
        out = Path(temporary) / "files"
        own = {"GIT_INDEX_FILE": str(Path(temporary) / "index"), "GIT_LFS_SKIP_SMUDGE": "1"}
        shutil.copyfile(folder / ".git" / "index", own["GIT_INDEX_FILE"])
        git(folder, "update-index", "--add", "-z", "--stdin", stdin=listed, env=own)
        git(folder, "checkout-index", "--quiet", f"--prefix={out}/", "-z", "--stdin", stdin=listed, env=own)
        for name in files:
            content = (out / name).read_bytes()
            if content != (folder / name).read_bytes():
                (folder / name).write_bytes(content)


def _converts(folder: Path, listed: bytes) -> bool:
    """Whether git gives any of these files, which end with NUL, CRLF when it checks them out."""
    for setting, value in (("core.autocrlf", "true"), ("core.eol", "crlf")):
        if git_line(folder, "config", "--get", setting, exit_codes=(0, 1)).lower() == value:
            return True
    return "crlf" in git_paths(folder, "check-attr", "-z", "--stdin", "eol", stdin=listed)[2::3]
