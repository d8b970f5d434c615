"""A project in which somebody works, with its own environment and its own commands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from support import run

# What a make around the tests, or a shell, could hand down that changes what the project's Makefile does.
HANDED_DOWN = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH", "VIRTUAL_ENV", "PORT", "IMAGE", "BASE_IMAGE")


@dataclass(frozen=True)
class Workplace:
    """A project where `make` runs a target as its author would."""

    path: Path

    def make(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in HANDED_DOWN}
        return run(["make", *arguments], cwd=self.path, env=environment, check=check)
