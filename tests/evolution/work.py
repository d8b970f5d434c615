"""A project that has what the generator reads, its answers and its schema, in a real git repository."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from protoserve import generator_cli
from support import run

GIT = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}

SCHEMA = """\
# The contract of iris.
package: iris.v1
status: stable
service: IrisService
enums:
  Species:
    values:
      - {name: setosa, number: 1}   # the small one
      - {name: versicolor, number: 2}
methods:
  Predict:
    request:
      fields:
        - name: length    # in cm
          number: 1
          type: float64
          maximum: 30
        - {name: width, number: 2, type: float64}  # last
    response:
      fields: [{name: species, number: 1, type: Species}, {name: score, number: 2, type: float32}]
"""


@dataclass(frozen=True)
class Work:
    """`path` is the project, `root` the repository around it."""

    path: Path
    root: Path

    @property
    def schema(self) -> Path:
        return self.path / "schema.yaml"

    @property
    def text(self) -> str:
        return self.schema.read_bytes().decode()

    def write(self, text: str) -> None:
        self.schema.write_bytes(text.encode())

    def edit(self, *changes: tuple[str, str]) -> None:
        text = self.text
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.write(text)

    def git(self, *arguments: str, check: bool = True) -> str:
        return run(["git", *arguments], cwd=self.root, env=os.environ | GIT, check=check).stdout.strip()

    def commit(self, message: str = "a change") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def generate(self, *arguments: str) -> int:
        """What `make generate` runs in the end."""
        return generator_cli.main(["generate", str(self.path), *arguments])

    def run(self, command: str, *arguments: str) -> int:
        return generator_cli.main([command, "--project", str(self.path), *arguments])

    def files(self) -> dict[str, bytes]:
        """All files of the project but git's own."""
        found = (path for path in self.path.rglob("*") if path.is_file() and ".git" not in path.parts)
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in found}


def begin(root: Path, folder: str = "", schema: str = SCHEMA, *, git: bool = True) -> Work:
    """A project in a folder of a new repository, not committed yet."""
    work = Work(root / folder, root)
    work.path.mkdir(parents=True, exist_ok=True)
    (work.path / ".copier-answers.yml").write_text("# by Copier\n_commit: v1\nframework: python\npackage: iris\n")
    work.write(schema)
    if git:
        work.git("init", "--quiet", "--initial-branch", "main")
    return work
