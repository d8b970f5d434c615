"""No .proto that is accepted gives a project whose own `make check` fails."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from foreign.odd import odd_files
from foreign.test_carried import PROTOS
from support import ROOT, create, run

ODD = (3, 4, 6, 7)  # with four packages: of keywords, of a company, deep, and of a single long name


@pytest.fixture(scope="module")
def ruff_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where ruff keeps what it learns; all projects share it."""
    return str(tmp_path_factory.mktemp("ruff"))


@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.slow
@pytest.mark.parametrize("source", [*(path.stem for path in PROTOS), *(f"odd{seed}" for seed in ODD)])
def test_make_check_passes(template: Path, tmp_path: Path, ruff_cache: str, source: str) -> None:
    path = next((path for path in PROTOS if path.stem == source), tmp_path / f"{source}.proto")
    if path.parent == tmp_path:
        for name, text in odd_files(int(source.removeprefix("odd"))).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
    unary = re.findall(r"rpc\s+(\w+)\s*\(\s*(?!stream\s)", path.read_text(encoding="utf-8"))
    answers = {"package": f"of_{source}", "framework": "python", "schema": str(path), "serve": ",".join(unary)}
    project = create(template, tmp_path / "project", **answers)
    environment = {**project.environment, "RUFF_CACHE_DIR": ruff_cache, "PROTOSERVE_GENERATOR": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    run(["make", "check", f"BIN={Path(sys.executable).parent}"], cwd=project.path, env=environment)
