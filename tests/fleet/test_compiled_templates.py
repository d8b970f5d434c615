"""Templates of Jinja are compiled once for all processes, wherever they lie; what they render stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from jinja2.sandbox import SandboxedEnvironment, SecurityError

from protoserve.project.update.compiled_templates import share_compiled_templates

TEXT = "{% for item in items %}\n{{ item | upper }}\n{% endfor %}\n"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the code; compilation is as before at the end."""
    monkeypatch.setattr(Environment, "compile", Environment.compile)
    share_compiled_templates(tmp_path / "kept")
    return tmp_path / "kept"


def test_one_text_is_kept_once_for_all_folders(kept: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "list.txt").write_text(TEXT, encoding="utf-8")
        environment = Environment(loader=FileSystemLoader(tmp_path / name))
        template = environment.get_template("list.txt")
        assert template.render(items=["x", "y"]) == "\nX\n\nY\n"
        assert template.filename == str(tmp_path / name / "list.txt")
    assert len([*kept.iterdir()]) == 1


def test_options_and_kinds_of_environments_do_not_mix(kept: Path) -> None:
    for _ in range(2):
        assert Environment().from_string(TEXT).render(items=["x"]) == "\nX\n"
        assert Environment(trim_blocks=True).from_string(TEXT).render(items=["x"]) == "X\n"
        assert Environment(variable_start_string="[[", variable_end_string="]]").from_string("{{ a }}").render() == (
            "{{ a }}"
        )
        assert Environment().from_string("{{ missing }}").render() == ""
        with pytest.raises(UndefinedError):
            Environment(undefined=StrictUndefined).from_string("{{ missing }}").render()
        assert Environment().from_string("{{ ''.__class__ }}").render() == "<class 'str'>"
        with pytest.raises(SecurityError):
            SandboxedEnvironment().from_string("{{ ''.__class__.mro() }}").render()
