"""What came of an update, written into the project: all of it, or the project as it was."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.platform.git import Repository, git


@dataclass
class Snapshot:
    """Files of a project and git's index as they were before anything was written, kept in `store` to be put back.

    Raises OSError.
    """

    repository: Repository
    store: Path
    _index: Path = field(init=False)
    _kept: dict[str, Path | None] = field(default_factory=dict)
    _missing: list[Path] = field(default_factory=list)
    _whole: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._index = self.repository.own("index")
        shutil.copy2(self._index, self.store / "index")

    def keep(self, names: Iterable[str]) -> None:
        """Keeps these paths below the project, and that those which are not there are not there."""
        for name in names:
            path = self.repository.project / name
            if name in self._kept:
                continue
            if path.is_symlink() or path.is_file():
                copy = self.store / str(len(self._kept))
                shutil.copy2(path, copy, follow_symlinks=False)
                self._kept[name] = copy
            else:
                self._kept[name] = None
            self._missing.extend(missing(path.parent))

    def keep_folder(self, name: str) -> None:
        """Keeps all files of a folder, and that there are no others."""
        folder = self.repository.project / name
        self.keep(path.relative_to(self.repository.project).as_posix() for path in _files(folder))
        self._whole.append(folder)  # not before all are kept: `restore` takes the others for new

    def restore(self) -> None:
        """Puts everything back, also the times of the files and git's index."""
        for whole in self._whole:
            for path in _files(whole):
                if path.relative_to(self.repository.project).as_posix() not in self._kept:
                    path.unlink()
        for name, copy in self._kept.items():
            path = self.repository.project / name
            if copy is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace(copy, path)
        for folder in sorted(set(self._missing), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        replace(self.store / "index", self._index)


def write(
    repository: Repository, folder: Path, names: Iterable[str], unmerged: dict[str, list[tuple[str, str, str]]]
) -> None:
    """Makes `names` in the project what they are in the scratch repository `folder`, and their conflicts git's too.

    Raises OSError or GitError half way: whoever calls has a Snapshot.
    """
    for name in names:
        source, target = folder / name, repository.project / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            replace(source, target)
        else:
            target.unlink(missing_ok=True)
            _prune(repository.project, target.parent)
    lines = []
    for name, stages in unmerged.items():
        path = repository.inside(name)
        lines.append(f"0 {'0' * len(stages[0][1])}\t{path}\n")
        for mode, blob, stage in stages:
            content = git(folder, "cat-file", "blob", blob)
            written = git(repository.project, "hash-object", "-w", "--stdin", given=content).decode().strip()
            lines.append(f"{mode} {written} {stage}\t{path}\n")
    if lines:
        git(repository.project, "update-index", "--index-info", given=os.fsencode("".join(lines)))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]


def missing(folder: Path) -> list[Path]:
    """The folders that must be made for `folder` to be there."""
    found = []
    while not folder.exists():
        found.append(folder)
        folder = folder.parent
    return found


def replace(source: Path, target: Path) -> None:
    """Copies a file with its mode and times; whoever reads `target` sees the old or the new one."""
    handle, staged = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    try:
        if source.is_symlink():
            os.unlink(staged)
        shutil.copy2(source, staged, follow_symlinks=False)
        os.replace(staged, target)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise


def _prune(project: Path, folder: Path) -> None:
    while folder != project and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
