"""The answer `transport`, which is never asked: with `native` a project has its package, and serves by it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support import ROOT, create
from zoo.process import checks_with, verify_here


@pytest.mark.slow
def test_verify_passes_a_project_that_serves_by_native(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create(template, tmp_path / "iris", framework="python", transport="native")
    assert "transport: native\n" in (project.path / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "| `TRANSPORT` | `native` |" in (project.path / "README.md").read_text(encoding="utf-8")
    pin = "pygrpc-native==0.5.0; sys_platform"
    assert pin in (project.path / "requirements/server.txt").read_text(encoding="utf-8")
    assert pin in (ROOT / "generator/requirements/dev.in").read_text(encoding="utf-8")
    project.python("train.py")
    monkeypatch.chdir(project.path)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    contract = "proto/iris/v1/prediction.proto"
    log = tmp_path / "log"
    command = ["sh", "-c", f"exec '{sys.executable}' -m iris.server 2>'{log}'"]
    code, report = verify_here("--proto", contract, "--", *command)
    assert (code, checks_with(report, "fail")) == (0, {}), report["checks"]
    assert "transport='native'" in log.read_text(encoding="utf-8")
