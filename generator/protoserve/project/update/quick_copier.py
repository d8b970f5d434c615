"""Copier's update for many projects of one template: what it would ask and make for each is asked and made once.

Copier clones the template five times for an update, asks git more than two hundred questions, and starts the generator
twice. Here it takes `Checkouts` of the template, remembers the answers, and lets `PreloadedGenerators` run the
migrations. As `new/copier_session`, this module uses what Copier does not document; the result is that of
`copier.run_update`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import copier._main
import copier._subproject
from copier._main import Worker
from copier._template import Template
from packaging.version import Version
from plumbum import ProcessExecutionError, local

from protoserve.project.update.template_checkouts import Checkout, Checkouts

_CONSTANT = re.compile(r"[\w./-]+")
# Runs a command in the current folder with these variables; None if it cannot, and somebody else has to.
RunStep = Callable[[list[str], Mapping[str, str]], int | None]


class UntrustedTemplateError(ValueError):
    """A project names another template than the one that is trusted."""


class _Template(Template):
    """The trusted template at one of its versions."""

    source: ClassVar[str]
    checkouts: ClassVar[Checkouts]

    @cached_property
    def _checkout(self) -> Checkout:
        if self.url != self.source or self.ref is None:
            raise UntrustedTemplateError(f"{self.url} is not the template {self.source}")
        return self.checkouts.at(self.ref)

    @cached_property
    def local_abspath(self) -> Path:
        return self._checkout.folder

    @cached_property
    def commit(self) -> str | None:
        return self._checkout.described

    @cached_property
    def commit_hash(self) -> str | None:
        return self._checkout.hash

    @cached_property
    def version(self) -> Version | None:
        return None if self._checkout.version is None else Version(self._checkout.version)

    @cached_property
    def git_index_modes(self) -> Mapping[PurePosixPath, int]:
        return {PurePosixPath(name): mode for name, mode in self._checkout.modes.items()}

    @cached_property
    def _raw_config(self) -> dict[str, Any]:
        return deepcopy(_config(self.local_abspath))

    @cached_property
    def url_expanded(self) -> str:
        return self.url

    @cached_property
    def vcs(self) -> Any:
        return "git"


class _Cloned(Template):
    """The template in a clone."""

    @cached_property
    def local_abspath(self) -> Path:
        return Path(self.url)

    @cached_property
    def vcs(self) -> Any:
        return "git"


@cache
def _config(folder: Path) -> dict[str, Any]:
    """The copier.yml of a checkout."""
    return dict(_Cloned(str(folder))._raw_config)


class _Worker(Worker):
    """Copier's worker, which asks once for a folder whether its files have modes, and renders no constant."""

    @property
    def answers_relpath(self) -> Path:
        path = self.answers_file or self.template.answers_relpath
        return Path(path) if _CONSTANT.fullmatch(str(path)) else super().answers_relpath

    def _sync_git_index_executable_bit(self, dst_relpath: Path, src_mode: int) -> None:
        folder = self.subproject.local_abspath
        if folder not in _folders_without_modes:
            _folders_without_modes[folder] = _has_no_modes(folder)
        if _folders_without_modes[folder]:
            super()._sync_git_index_executable_bit(dst_relpath, src_mode)


_folders_without_modes: dict[Path, bool] = {}


def _has_no_modes(folder: Path) -> bool:
    try:
        answer = local["git"].with_cwd(folder)("config", "--type=bool", "--get", "core.fileMode")
    except (OSError, ProcessExecutionError):
        return False
    return bool(answer.strip() == "false")


def quick_copy(template: str, folder: Path, data: dict[str, Any], **options: Any) -> None:
    """In place of `copier.run_copy` into a new folder."""
    with _Worker(src_path=template, dst_path=folder, data=data, **options) as worker:
        worker.run_copy()


def read_facts(clone: Path, commit: str) -> Checkout:
    """What Copier says of a clone of a template at this commit."""
    template = _Cloned(str(clone), commit)
    version = None if template.version is None else str(template.version)
    modes = {str(path): mode for path, mode in template.git_index_modes.items()}
    return Checkout(clone, str(template.commit), str(template.commit_hash), version, modes)


def preload(checkout: Checkout) -> None:
    """Reads what does not differ between projects, for the processes that are forked from now on."""
    _config(checkout.folder)


@contextmanager
def quick_update(source: str, checkouts: Checkouts, run_step: RunStep) -> Iterator[Callable[..., None]]:
    """A function in place of `copier.run_update` for projects whose `_src_path` is `source`; for one thread only.

    Migrations that are lists of words run by `run_step`.
    """

    class Known(_Template):
        pass

    Known.source, Known.checkouts = source, checkouts

    def run_update(folder: Path, data: dict[str, Any] | None = None, **options: Any) -> None:
        with _Worker(dst_path=folder, data=data or {}, **options) as worker:
            worker.run_update()

    def run(command: str | list[str], *, env: Mapping[str, str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        code = run_step(command, env) if isinstance(command, list) else None
        if code is not None:
            return subprocess.CompletedProcess(command, code)
        return subprocess.run(command, env=env, **options)

    with (
        _replaced(copier._main, "Template", Known),
        _replaced(copier._subproject, "Template", Known),
        _replaced(copier._main, "subprocess", SimpleNamespace(run=run)),
    ):
        yield run_update


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Another value for a name of a module, within the block."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
