"""What docs/air-gapped.md has somebody carry to a machine without a network, fetched once by the page's commands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from plain_python import plain_python
from support import ROOT, copy_template, made_once, run, scrubbed

_BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/air-gapped.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def block(words: str) -> str:
    """The one block of commands in docs/air-gapped.md that has these words."""
    (only,) = [text for text in _BLOCKS if words in text]
    return only


def released_template(factory: pytest.TempPathFactory) -> Path:
    """The template of this checkout as a git repository with the release v0.1.0; no test writes into it."""

    def make(folder: Path) -> None:
        copy_template(folder)
        for command in ("init --quiet", "add --all", "commit --quiet --message=release", "tag v0.1.0"):
            run(["git", *command.split()], cwd=folder, env=scrubbed(home=folder.parent))

    return made_once(factory, "released/protoserve", make)


def fetched_mirror(factory: pytest.TempPathFactory) -> Path:
    """A folder with `protoserve.git` and `wheels`: what the page says to fetch, pipx, and what docs/start.md adds."""
    template = released_template(factory)

    def fetch(folder: Path) -> None:
        folder.mkdir()
        commands = re.sub(r"^TEMPLATE=.*$", f"TEMPLATE=file://{template}", block("git clone"), flags=re.MULTILINE)
        settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = {**scrubbed(plain_python(factory), home=folder), **settings}
        run(["sh", "-euc", f"{commands}\nget pipx 'pandas>=2.2'"], cwd=folder, env=environment)

    return made_once(factory, "connected", fetch) / "mirror"
