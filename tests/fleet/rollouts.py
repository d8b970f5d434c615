"""Fleets of real repositories for tests of `protoserve fleet update`: bare clones of a project of a small template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from commands import protoserve
from releases import Work, commit, edit, environment, git

# A line of a project that v1.1.0 of the template changes, too.
OUTCOMES = "src/iris/server/core/outcomes.py"
BRANCH = "protoserve/v2.0.0"


@dataclass
class Rollouts:
    """A fleet in `folder` with projects that are copies of `first`, and runs of its update."""

    folder: Path
    first: Work
    template: Path
    entries: list[object] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.first.home)

    @contextmanager
    def project(self, name: str, **entry: object) -> Iterator[Work]:
        """A new project `name`.git, in the clone of which the block works; it is pushed at the end."""
        bare, clone = self.folder / f"{name}.git", self.folder / "clones" / name
        git(self.folder, "clone", "--quiet", "--bare", str(self.first.path), str(bare))
        with self.clone(name) as work:
            yield work
        shutil.rmtree(clone)
        self.entries.append({"url": f"file://{bare}", **entry} if entry else f"file://{bare}")

    @contextmanager
    def clone(self, name: str, branch: str = "main") -> Iterator[Work]:
        """A clone of a project, which is committed and pushed at the end."""
        bare, clone = self.folder / f"{name}.git", self.folder / "clones" / name
        shutil.rmtree(clone, ignore_errors=True)
        clone.parent.mkdir(exist_ok=True)
        git(clone.parent, "clone", "--quiet", "--branch", branch, str(bare), str(clone))
        yield Work(clone, self.first.home)
        if git(clone, "status", "--porcelain"):
            commit(clone, "work")
        git(clone, "push", "--quiet", "origin", "HEAD")

    def write(self) -> Path:
        """fleet.yaml."""
        file = self.folder / "fleet.yaml"
        fleet = {"templates": [str(self.template)], "projects": self.entries}
        file.write_text(yaml.safe_dump(fleet), encoding="utf-8")
        return file

    def update(self, *options: str, exit_code: int = 0, **variables: str) -> dict[str, dict[str, Any]]:
        """What an update reports of each project, by the name of its repository or folder."""
        arguments = ("fleet", "update", str(self.write()), "--format", "json", *options)
        done = protoserve(*arguments, cwd=self.folder, env={**self.environment, **variables}, check=False)
        assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
        return {name_of(project["project"]): project for project in json.loads(done.stdout)["projects"]}

    def branches(self, name: str) -> dict[str, str]:
        """The commits of the branches of a repository, but for main."""
        lines = git(
            self.folder / f"{name}.git", "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"
        )
        found = dict(line.split() for line in lines.splitlines())
        del found["main"]
        return found


def name_of(project: str) -> str:
    """a for file:///x/a.git, and services/a for file:///x/mono.git#services/a."""
    repository, _, folder = project.partition("#")
    return folder or repository.rpartition("/")[2].removesuffix(".git")


def states(report: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: project["state"] for name, project in report.items()}


def make_conflict(work: Work) -> None:
    """Changes a line that the template changes, too."""
    edit(work.path / OUTCOMES, "the server failed to answer this request", "no luck today")
