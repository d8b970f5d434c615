"""A team's template in three releases, made from this checkout, and projects that its authors have worked in.

v1.1.0 fixes a server file and raises a tool; v2.0.0 asks a new question, changes the server again, lets the generator
write other files, and gives two of the template's files another name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from commands import run_copy
from support import copy_template, run

# What v2.0.0 renames, in a project.
OLD, NEW = "src/iris/server/transports/health.py", "src/iris/server/transports/healthiness.py"
COMMANDS = Path(sys.executable).parent
_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "T"), ("EMAIL", "t@example.com"))
}


def environment(home: Path) -> dict[str, str]:
    """That of the tests, with caches and settings of its own and nothing to ask on a terminal."""
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "COPIER_CACHE_DIR": str(home / "copier")}
    path = os.pathsep.join([str(COMMANDS), os.environ["PATH"]])
    return {**os.environ, **_IDENTITY, **own, "PATH": path}


def git(folder: Path, *arguments: str) -> str:
    return run(["git", *arguments], cwd=folder, env={**os.environ, **_IDENTITY}).stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def edit(path: Path, old: str, new: str) -> None:
    """Replaces text that must be there once or more."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def release(folder: Path, tag: str, policies: Mapping[str, str] = {}) -> None:
    """Commits and tags a release of the template, with its policy if `policies` has one for it."""
    if tag in policies:
        (folder / "policy.yaml").write_text(policies[tag], encoding="utf-8")
    commit(folder, f"release {tag}")
    git(folder, "tag", tag)


def make_template(folder: Path, policies: Mapping[str, str] = {}) -> Path:
    """The template's repository with tags v1.0.0, v1.1.0 and v2.0.0.

    `policies` gives the content of policy.yaml by the release that changes it.
    """
    copy_template(folder)
    release_three(folder, policies)
    return folder


def release_three(folder: Path, policies: Mapping[str, str]) -> None:
    """The three releases of a template, which has the generator as a folder of its own, or a link to one."""
    server = folder / "template/src/{{package}}/server"
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "gc.auto", "0")
    release(folder, "v1.0.0", policies)

    edit(
        server / "core" / "outcomes.py",
        "the server failed to answer this request",
        "the server could not answer this request",
    )
    edit(folder / "template/requirements/dev.txt", "pytest>=9", "pytest>=9.0.1")
    release(folder, "v1.1.0", policies)

    edit(
        folder / "copier.yml",
        "_tasks:\n",
        "team:\n  type: str\n  default: nobody\n  help: Who answers for it?\n"
        "  validator: \"{% if ' ' in team %}is one word, such as risk{% endif %}\"\n\n_tasks:\n",
    )
    edit(folder / "template/README.md.jinja", "## Start\n", "Ask {{ team }} about it.\n\n## Start\n")
    edit(server / "core" / "outcomes.py", '"""How a call can end', '"""How any call can end')
    if not (folder / "generator/protoserve").is_symlink():
        edit(folder / "generator/protoserve/emit/proto.py", "Do not edit: change", "Never edit: change")
    git(folder, "mv", "template/tests/test_smoke.py.jinja", "template/tests/test_server.py.jinja")
    edit(folder / "template/Makefile.jinja", "tests/test_smoke.py", "tests/test_server.py")
    git(
        folder,
        "mv",
        "template/src/{{package}}/server/transports/health.py",
        "template/src/{{package}}/server/transports/healthiness.py",
    )
    for path in server.rglob("*.py*"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("from .health import", "from .healthiness import"), encoding="utf-8")
    edit(server / "transports" / "healthiness.py", "import grpc\n", "import grpc  # renamed in 2.0\n")
    table = folder / "generator/renames.txt"
    rows = f"tests/test_smoke.py -> tests/test_server.py\n{OLD} -> {NEW}\n".replace("/iris/", "/{package}/")
    table.write_text(table.read_text(encoding="utf-8") + rows, encoding="utf-8")
    release(folder, "v2.0.0", policies)


@dataclass(frozen=True)
class Work:
    """A project in a repository of its own, and the commands of its author."""

    path: Path
    home: Path

    def run(self, *command: str | Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        return run(list(command), cwd=self.path, env={**environment(self.home), **variables}, check=check)

    def update(self, *options: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        return self._copy("protoserve", "update", *options, check=check, **variables)

    def status(self, *options: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        return self._copy("protoserve", "status", *options, check=check, **variables)

    def _copy(self, *command: str, check: bool, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**environment(self.home), **variables}
        return run_copy(*command, cwd=self.path, env=env, check=check, copies_generator=True)

    def copier(self, *options: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Bare Copier, as somebody who has no protoserve installed calls it."""
        arguments = ("update", "--trust", "--defaults", *options)
        return self._copy("copier", *arguments, check=check, **variables)

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        edit(self.path / name, old, new)

    def commit(self, message: str = "work") -> None:
        commit(self.path, message)

    def state(self) -> dict[str, bytes]:
        """All files with their modes, ignored ones among them, and git's index, settings and references."""
        files = (path for path in self.path.rglob("*") if ".git" not in path.parts)
        state = {path.relative_to(self.path).as_posix(): _content(path) for path in files}
        listings = {
            "(index)": ("ls-files", "--stage", "-v"),
            "(settings)": ("config", "--list", "--local"),
            "(references)": ("for-each-ref",),
        }
        # Whoever owns the repository.
        asked = {name: git(self.path, "-c", "safe.directory=*", *command) for name, command in listings.items()}
        return {**state, **{name: os.fsencode(text) for name, text in asked.items()}}


def _content(path: Path) -> bytes:
    """The mode and the content of a file, link or folder."""
    mode = f"{path.lstat().st_mode:o} ".encode()
    if path.is_symlink():
        return mode + os.fsencode(path.readlink())
    return mode + (path.read_bytes() if path.is_file() else b"")


def make_project(
    template: Path, dest: Path, tag: str, home: Path, *, source: str | None = None, **answers: str
) -> Work:
    """A project of that release of the template, committed."""
    data = [part for name, value in answers.items() for part in ("--data", f"{name}={value}")]
    command = ["copier", "copy", "--quiet", "--trust", "--defaults", "--vcs-ref", tag, *data]
    run([*command, source or str(template), str(dest)], cwd=dest.parent, env=environment(home))
    git(dest, "init", "--quiet", "--initial-branch=main")
    commit(dest, "made")
    return Work(dest, home)
