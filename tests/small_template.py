"""A template of some thirty short files with this checkout's generator and migrations, for tests that update often.

An update of its project takes a fraction of what one of the whole template takes, and goes the same way.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from commands import run_copy
from releases import Work, commit, environment, git, release
from support import ROOT

FIRST = "v1.0.0"
COPIED = ("generator/run.py", "generator/requirements", "template/scripts/generate.py.jinja")
ANSWERS = "{{_copier_conf.answers_file}}.jinja"
QUESTIONS = {
    "project_name": {"type": "str", "default": "iris"},
    "package": {"type": "str", "default": "iris"},
    "framework": {"type": "str", "default": "python"},
    "port": {"type": "str", "default": "9000"},
    "schema": {"type": "str", "default": "x: float64 -> y: float64"},
    "serve": {"type": "str", "default": "all"},
}
# Which files it has; each line of each file occurs once in the whole template.
PLAIN = ("README.md", "Makefile", "docs/first.md", "docs/second.md", "docs/deep/third.md", "config/app.ini")
PLAIN += ("config/old/one.ini", "config/old/two.ini", "with space.txt", "naïve.txt", "notes")
PLAIN += tuple(f"src/part{number}.py" for number in range(12))
SCRIPTS = ("scripts/run.sh", "scripts/deep/tool.sh", "scripts/check.sh", "scripts/deploy.sh")
PORT = "config/port.ini"
NAMES = (*PLAIN, *SCRIPTS)
_LINES = 12


def first_lines(name: str) -> list[bytes]:
    """The lines of a file in the first release, with their ends."""
    return [f"{name} has line {number}\n".encode() for number in range(_LINES)]


def make_small_template(folder: Path) -> Path:
    """The template's repository with its first release."""
    for name in (*COPIED, f"template/{ANSWERS}"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    # Copier clones the template five times an update.
    (folder / "generator" / "protoserve").symlink_to(ROOT / "generator" / "protoserve")
    (folder / "generator" / "renames.txt").touch()
    whole = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    settings = {name: value for name, value in whole.items() if name.startswith("_") and "message" not in name}
    text = yaml.safe_dump({**settings, "_exclude": [], **QUESTIONS}, sort_keys=False)
    (folder / "copier.yml").write_text(text, encoding="utf-8")
    for name in NAMES:
        path = folder / "template" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(first_lines(name)))
        path.chmod(0o755 if name in SCRIPTS else 0o644)
    port = b"".join([*first_lines(PORT), b"port = {{ port }}\n"])
    (folder / "template" / f"{PORT}.jinja").write_bytes(port)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "gc.auto", "0")
    release(folder, FIRST)
    return folder


def make_small_project(template: Path, folder: Path, home: Path) -> Work:
    """A project of the first release, committed."""
    arguments = ("--quiet", "--trust", "--defaults", f"--vcs-ref={FIRST}", template, folder)
    run_copy("copier", "copy", *arguments, cwd=folder.parent, env=environment(home), copies_generator=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "made")
    return Work(folder, home)
