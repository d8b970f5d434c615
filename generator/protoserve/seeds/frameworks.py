"""The frameworks a project can start with: one folder each, described by its `framework.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Framework:
    """What `framework.toml` says.

    `distribution` is the PyPI name whose version is recorded with an artifact. `one_file_per` is "method" or "output"
    where a file in the framework's format holds a single model, else "".
    """

    name: str
    title: str
    distribution: str
    artifact: str
    requirements: tuple[str, ...]
    train_requirements: tuple[str, ...]
    one_file_per: str


def frameworks() -> tuple[str, ...]:
    """The names of all frameworks."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/framework.toml")))


def load(name: str) -> Framework:
    """The framework of that name. Raises KeyError for an unknown name."""
    if name not in frameworks():
        raise KeyError(name)
    settings = tomllib.loads((FOLDER / name / "framework.toml").read_text(encoding="utf-8"))
    return Framework(
        name,
        settings["title"],
        settings["distribution"],
        settings["artifact"],
        tuple(settings["requirements"]),
        tuple(settings.get("train_requirements", ())),
        settings.get("one_file_per", ""),
    )
