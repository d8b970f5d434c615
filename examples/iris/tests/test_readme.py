"""README.md lists the settings as the server has them. If you write a README of your own, delete this test."""

from dataclasses import fields
from pathlib import Path

from iris.server.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent


def test_the_readme_has_every_setting() -> None:
    section = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## Settings")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    settings = [(item.name.upper(), item.metadata["default"], item.metadata["meaning"]) for item in fields(Settings)]
    assert rows == [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in settings]
