"""docs/develop.md, followed to the letter: what it gives for an addition to the template is added, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from support import ROOT, copy_template


def section(title: str) -> str:
    """A section of the page."""
    page = (ROOT / "docs" / "develop.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {title}\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def extended(dest: Path, section: str, question: str) -> tuple[Path, list[str]]:
    """The template with the files of a section, and its line among a question's choices; and the files' names."""
    template = copy_template(dest)
    files = re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    for name, content in files:
        path = template / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (line,) = re.findall(r"^```yaml\n(.*)\n```$", section, re.MULTILINE)
    questions = template / "copier.yml"
    choices = re.compile(rf"(^{question}:\n(?:  .*\n)*?  choices:\n)", re.MULTILINE)
    text, count = choices.subn(rf"\1{line}\n", questions.read_text(encoding="utf-8"))
    assert count == 1
    questions.write_text(text, encoding="utf-8")
    return template, [Path(name).name for name, _ in files]
