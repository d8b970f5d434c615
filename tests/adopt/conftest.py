"""Projects made by hand, adopted once each; no test writes into them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plumbum import local

from adopt.handmade import HAND_MADE, HandMade
from protoserve.platform import answers
from protoserve.project.create import create as generate_first
from protoserve.project.new.copier_session import CopierSession
from support import Project, run, tool

DAILY = HAND_MADE[0].name  # the others are slow tests


def adopt(folder: Path, template: Path, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`protoserve adopt` with the defaults, as a process."""
    command = [tool("protoserve"), "adopt", str(folder), "--template", str(template), "--ref", "v1.0.0", "--defaults"]
    return run([*command, *options], cwd=folder.parent, check=check)


@pytest.fixture
def generator_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task of copier.yml runs in this process, which takes a fraction of the time."""
    create = CopierSession.create

    def create_here(session: CopierSession, data: Mapping[str, Any]) -> None:
        session._worker.skip_tasks = True
        create(session, data)
        folder = Path(session._worker.dst_path)
        recorded = answers.read(folder)
        with monkeypatch.context() as patch:
            patch.setenv("PWD", str(local.env["PWD"]))
            fixed = (recorded[name] for name in ("package", "framework", "schema"))
            generate_first(folder, *fixed, recorded.get("serve", "all"))

    monkeypatch.setattr(CopierSession, "create", create_here)


@contextmanager
def listening(folder: Path, *arguments: str, **env: str) -> Iterator[int]:
    """The author's own server, which prints its port."""
    command = [sys.executable, *arguments, "0"]
    with subprocess.Popen(command, cwd=folder, env=sources(folder) | env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def sources(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Adopted:
    """A project before and after: `replies` is what its old client printed of its old server."""

    made: HandMade
    project: Project
    replies: str
    report: str

    def ask(self, port: int) -> str:
        """What the old client prints, with the old stubs."""
        return run(
            [sys.executable, *self.made.client, str(port)], cwd=self.project.path, env=sources(self.project.path)
        ).stdout


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(made, id=made.name, marks=[] if made.name == DAILY else pytest.mark.slow) for made in HAND_MADE
    ],
)
def adopted(request: pytest.FixtureRequest, releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    made: HandMade = request.param
    folder = made.write(tmp_path_factory.mktemp("made") / made.name)
    before = Adopted(made, Project(folder, ""), "", "")
    with listening(folder, *made.server) as port:
        replies = before.ask(port)
    report = adopt(folder, releases).stdout
    package = "greeter" if made.name == "greeter" else "vision_server"
    project = Project(folder, package)
    project.python("train.py")
    return Adopted(made, project, replies, report)
