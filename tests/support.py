"""What the tests share: making projects from the template of this checkout, and running things in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import copier
import pytest
import yaml
from filelock import FileLock
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from packaging.requirements import Requirement

from protoserve.project.create import create as generate_first
from protoserve.seeds.frameworks import load

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE_PARTS = ("copier.yml", "policy.yaml", "template", "generator", "pyproject.toml", "README.md", "LICENSE")


def copy_template(dest: Path) -> Path:
    """The template as it is in this checkout, without git: the fastest source that Copier takes."""
    dest.mkdir(parents=True)
    for name in TEMPLATE_PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, dest / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info"))
        elif source.exists():
            shutil.copy2(source, dest / name)
    return dest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` fills, shared by all processes of this run; the first that asks for it makes it."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, ready = root / "shared" / name, root / "shared" / f"{name}.ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed to make it
            make(folder)
            ready.touch()
    return folder


@dataclass(frozen=True)
class Project:
    """A generated project that runs in the environment of the tests, from its sources."""

    path: Path
    package: str

    @property
    def environment(self) -> dict[str, str]:
        """The tests' environment with this project's sources, and none of the server's settings."""
        return {**os.environ, "PYTHONPATH": str(self.path / "src")}

    def python(
        self, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs the interpreter of the tests in the project."""
        return run([sys.executable, *arguments], cwd=self.path, env={**self.environment, **(env or {})}, check=check)


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs a command; one that fails shows all that it printed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=900
    )
    assert not check or done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def create(template: Path, dest: Path, *, alone: bool = False, by_copier: bool = False, **answers: Any) -> Project:
    """A new project, by Copier and the generator, with defaults for what is not answered.

    `alone` gives the template's files alone, in a fraction of the time: no contract, no model, no sources that run.
    The generator of this checkout runs in this process, which takes half of the time. With `by_copier` it is the
    template's own, which Copier starts as it does for a user.
    """
    skip_tasks = alone or not by_copier
    copier.run_copy(str(template), dest, data=answers, defaults=True, unsafe=True, quiet=True, skip_tasks=skip_tasks)
    project = Project(dest, str(answers.get("package", "iris")))
    if skip_tasks and not alone:
        recorded = yaml.safe_load((dest / ".copier-answers.yml").read_text(encoding="utf-8"))
        fixed = (recorded[name] for name in ("package", "framework", "schema"))
        generate_first(dest, *fixed, recorded.get("serve", "all"))
    return project


def server_module(name: str) -> ModuleType:
    """A module of the template's server that imports no other one; nothing compiled is left in the template."""
    path = ROOT / "template/src/{{package}}/server" / f"{name}.py"
    module = ModuleType(name)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module


@cache
def copier_jinja() -> SandboxedEnvironment:
    """Jinja as Copier has it for this template, by the settings of copier.yml."""
    return SandboxedEnvironment(
        loader=FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )


def scrubbed(*folders: Path, home: Path) -> dict[str, str]:
    """An environment whose PATH has only these folders and the system's own, and whose home is empty."""
    kept = {name: value for name, value in os.environ.items() if name.endswith(("CA_BUNDLE", "CERT_FILE", "_CERT"))}
    path = os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"])
    identity = {
        "GIT_AUTHOR_NAME": "T",
        "GIT_AUTHOR_EMAIL": "t@e",
        "GIT_COMMITTER_NAME": "T",
        "GIT_COMMITTER_EMAIL": "t@e",
    }
    return {**kept, **identity, "PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}


def tool(name: str) -> str:
    """The path of a command that is installed beside the interpreter of the tests."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found is not None, f"{name} is not installed: pip install -e '.[dev]'"
    return found


def need(framework: str) -> None:
    """Skips the test where a library of the framework is not installed; PROTOSERVE_FRAMEWORKS=required lets it fail."""
    if (wanted := lacking(framework)) is not None:
        pytest.skip(f"{wanted.name} is not installed: pip install '{wanted.name}{wanted.specifier}'")


def lacking(framework: str) -> Requirement | None:
    """The first library of a framework that is not installed; an error with PROTOSERVE_FRAMEWORKS=required."""
    made = load(framework)
    for line in (*made.requirements, *made.train_requirements):
        if line.startswith("#"):
            continue
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            if os.environ.get("PROTOSERVE_FRAMEWORKS") == "required":
                raise
            return wanted
    return None
