"""A project in which somebody works, with its own environment and its own commands."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from support import run, tool

# What a make around the tests, or a shell, could hand down that changes what the project's Makefile does.
HANDED_DOWN = (
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "VIRTUAL_ENV",
    "MYPY_CACHE_DIR",
    "PORT",
    "IMAGE",
    "BASE_IMAGE",
)


@dataclass(frozen=True)
class Workplace:
    """A project where `make` runs a target as its author would."""

    path: Path

    def set_up(self) -> None:
        """An environment with what `make setup` installs, by uv, which has it from its cache in seconds."""
        folder = self.path / ".venv"
        run([tool("uv"), "venv", "--quiet", "--seed", "--python", sys.executable, folder], cwd=self.path)
        commands = self.make("-n", "setup").stdout.replace("\\\n", " ")
        wanted = shlex.split(commands.partition(" pip install --disable-pip-version-check ")[2].partition("\n")[0])
        run([tool("uv"), "pip", "install", "--quiet", "--python", folder / "bin" / "python", *wanted], cwd=self.path)

    def make(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in HANDED_DOWN}
        return run(["make", *arguments], cwd=self.path, env=environment, check=check)
