"""Contracts to begin with: ordinary schema files, without `package`, that a project makes its own."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("presets")


def presets() -> tuple[str, ...]:
    """The names of all presets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def is_for_engine(name: str) -> bool:
    """Whether what a preset asks for is made by an engine that serves many at once, so that its methods are async."""
    return name == "chat"


def preset_text(name: str) -> str:
    """The schema of a preset. Raises KeyError for a name that is none."""
    if name not in presets():
        raise KeyError(name)
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def preset_data(name: str) -> str | None:
    """The preset's own rows as CSV, a head line of field names first; None where it brings none.

    Raises KeyError for any other name.
    """
    if name not in presets():
        raise KeyError(name)
    path = _FOLDER / f"{name}.csv"
    return path.read_text(encoding="utf-8") if path.is_file() else None
