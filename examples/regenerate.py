"""Writes the projects in this folder anew, from the template and the generator of this checkout.

    .venv/bin/python examples/regenerate.py

Run it after every change of the template or the generator, and commit what it writes: the diff of a pull request then
shows what the change does to projects. A test fails while a project here differs from what this script writes.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import copier
import yaml

from protoserve.project.create import create as new_project
from protoserve.project.generate import generate

EXAMPLES = Path(__file__).resolve().parent
ROOT = EXAMPLES.parent
TEMPLATE = ("copier.yml", "template", "generator/reserved.jinja", "generator/texts.jinja")
ANSWERS = ".copier-answers.yml"
# What Copier records of the template's version and place; the same here whoever runs this.
ORIGIN = {"_commit": "v1.0.0", "_src_path": "https://git.example.com/protoserve.git"}


@dataclass(frozen=True)
class Example:
    """A project: its answers, and the files that its author wrote by hand.

    A project with files written by hand begins with its own `schema.yaml`, the newest version of its contract.
    """

    name: str
    answers: dict[str, Any] = field(default_factory=dict)
    by_hand: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The committed project."""
        return EXAMPLES / self.name


PROJECTS = (
    Example("iris"),
    Example(
        "fraud",
        {
            "project_name": "Fraud",
            "description": "Says how likely a card payment is a fraud, and why.",
            "framework": "python",
            "ci": "gitlab",
        },
        by_hand=("schema.yaml", "schemas/v1.yaml", "src/fraud/upgrade/v1.py"),
    ),
)


def main() -> int:
    """Replaces every example by a new one; one that cannot be made leaves the old one as it was."""
    for example in PROJECTS:
        with tempfile.TemporaryDirectory(dir=EXAMPLES, prefix=f".{example.name}-") as folder:
            project = Path(folder) / example.name
            create(example, project)
            shutil.rmtree(example.path)
            project.rename(example.path)
        print(f"wrote {example.path}")
    return 0


def create(example: Example, project: Path) -> None:
    """Makes the project as its author did: new from its newest schema, then with the files written by hand."""
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "protoserve"
        _copy(ROOT, template, TEMPLATE)
        options = {"defaults": True, "unsafe": True, "quiet": True, "skip_tasks": True}
        copier.run_copy(str(template), project, data=example.answers, **options)
    answers = yaml.safe_load((project / ANSWERS).read_text(encoding="utf-8"))
    schema = str(example.path / "schema.yaml") if example.by_hand else answers["schema"]
    new_project(project, answers["package"], answers["framework"], schema)
    if example.by_hand:
        _copy(example.path, project, example.by_hand)
        with contextlib.redirect_stdout(io.StringIO()):
            generate(project)
    shutil.rmtree(project / ".protoserve" / "last")  # git ignores it
    _record(project, {**ORIGIN, "schema": f"{example.name}.yaml"} if example.by_hand else ORIGIN)


def _record(project: Path, values: dict[str, str]) -> None:
    """Puts `values` into the answers file, where Copier wrote paths of this machine or nothing."""
    path = project / ANSWERS
    comment, *lines = path.read_text(encoding="utf-8").splitlines()
    recorded = {name: f"{name}: {value}" for name, value in values.items()}
    first = [line for name, line in recorded.items() if name not in {line.partition(":")[0] for line in lines}]
    kept = [recorded.get(line.partition(":")[0], line) for line in lines]
    path.write_text("\n".join([comment, *first, *kept]) + "\n", encoding="utf-8")


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source / name, target / name)


if __name__ == "__main__":
    sys.exit(main())
