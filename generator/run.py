"""Runs the generator that lies beside this file, at this very version: what Copier and a project's Makefile call.

    python generator/run.py create --package iris --framework sklearn --schema tabular     (in a new project)
    python generator/run.py generate PROJECT [--check]

Standard library only. It takes the running interpreter if that holds what the generator needs, the tools that write
into projects at exactly their pinned versions; else uv, with the hashed requirements; else it says what to install.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDED = HERE / "requirements" / "generate.in"
LOCKED = HERE / "requirements" / "generate.txt"
# `create` fills in the seeds with Jinja; `generate` does without.
ONLY_TO_CREATE = {"jinja2"}
OLDEST = (3, 11)


def main(arguments: list[str]) -> int:
    lacking = missing(arguments[:1] == ["create"])
    if not lacking:
        sys.path.insert(0, str(HERE))
        from protoserve.tasks import main as run

        return run(arguments)
    uv = find_uv()
    if uv is not None:
        return subprocess.run([*with_uv(uv), *arguments], env=environment(), check=False).returncode
    print(
        f"protoserve: the generator cannot run here, for want of {', '.join(lacking)}: install uv (`pip install uv`), "
        f"or `pip install {HERE.parent}` into the environment that copier runs in, and try again",
        file=sys.stderr,
    )
    return 1


def missing(create: bool) -> list[str]:
    """The requirements that the running interpreter does not meet; of those without a pin any version will do."""
    if sys.version_info < OLDEST:
        return ["Python 3.11 or newer"]
    lacking = []
    for line in NEEDED.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)(?:==(\S+))?", line)
        if match is None or (match[1] in ONLY_TO_CREATE and not create):
            continue
        try:
            version = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            version = None
        if version is None or version != (match[2] or version):
            lacking.append(line.strip())
    return lacking


def find_uv() -> str | None:
    """uv on the PATH, or beside the interpreter, as in an environment that is not activated."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def with_uv(uv: str) -> list[str]:
    """uv with the locked requirements; a file without URLs, so that the index of the user's settings is honoured."""
    python = sys.executable if sys.version_info >= OLDEST else ">=3.11"
    options = ["--quiet", "--no-project", "--python", python, "--with-requirements", str(LOCKED)]
    return [uv, "run", *options, "python", "-m", "protoserve.tasks"]


def environment() -> dict[str, str]:
    """The environment with this generator on the path, and without the interpreter's own settings for its packages."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    return {**inherited, "PYTHONPATH": str(HERE)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
