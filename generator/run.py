"""Runs the generator that lies beside this file, at this very version: what Copier and a project's Makefile call.

    python generator/run.py create --package iris --framework sklearn --schema tabular     (in a new project)
    python generator/run.py generate PROJECT [--check] [--accept-breaking]
    python generator/run.py after-update --package iris                                     (in an updated project)

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
    if arguments[:1] == ["after-update"]:
        if not restore_lost_edits(arguments[1].removeprefix("--package=")):
            return 1
        arguments = ["generate"]
    lacking = missing(arguments[:1] == ["create"])
    if not lacking:
        sys.path.insert(0, str(HERE))
        from protoserve.tasks import main as run

        return run(arguments)
    uv = find_uv()
    if uv is not None:
        return subprocess.run([*with_uv(uv), *arguments], env=environment(), check=False).returncode
    wanting = ", ".join(lacking)
    print(f"protoserve: the generator cannot run here, for want of {wanting}: {remedy(lacking)}", file=sys.stderr)
    return 2 if arguments[:1] == ["diff"] else 1  # for `diff` 1 is a verdict


def restore_lost_edits(package: str) -> bool:
    """Restores the edits that the merge dropped; False if that failed.

    It runs in this interpreter, which is Copier's: Copier has to render the version that the project had.
    """
    sys.path.insert(0, str(HERE))
    from protoserve.platform.errors import ProtoserveError
    from protoserve.project import lost_edits

    try:
        notes = lost_edits.restore_lost_edits(Path(), HERE.parent, package)
    except (ProtoserveError, OSError) as error:
        print(f"protoserve: edits of renamed files cannot be restored: {error}", file=sys.stderr)
        return False
    for line in notes:
        print(f"protoserve: {line}", file=sys.stderr)
    return True


def remedy(lacking: list[str]) -> str:
    """What to do, by names: Copier removes its clone of the template, so a path to that would be of no use."""
    if sys.version_info < OLDEST:
        return "install uv (`pip install uv`), which finds a newer Python, and try again"
    requirements = " ".join(f"'{requirement}'" for requirement in lacking)
    environment = Path(sys.prefix)
    if "pipx" not in environment.parts:
        into = "into the environment that copier runs in"
        return f"install uv (`pip install uv`), or `pip install {requirements}` {into}, and try again"
    if "venvs" in environment.parts:  # of `pipx install`; that of `pipx run` is nobody's to fill
        return f"`pipx install uv`, or `pipx inject {environment.name} {requirements}`, and try again"
    return "take uv along (`pipx run --with uv copier ...`), or `pipx install uv` and try again"


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
    if without_index():
        options.append("--no-index")
    return [uv, "run", *options, "python", "-m", "protoserve.tasks"]


def environment() -> dict[str, str]:
    """The environment with this generator on the path, and without the interpreter's own settings for its packages.

    uv reads none of pip's variables: where pip was told of an index or a folder of wheels and uv was not, it is told.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    told = {}
    if os.environ.get("PIP_INDEX_URL") and not (os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")):
        told["UV_DEFAULT_INDEX"] = os.environ["PIP_INDEX_URL"]
    if without_index() and not os.environ.get("UV_FIND_LINKS"):
        told["UV_FIND_LINKS"] = ",".join(os.environ.get("PIP_FIND_LINKS", "").split())
    return {**inherited, **told, "PYTHONPATH": str(HERE)}


def without_index() -> bool:
    """Whether pip was told to take packages from PIP_FIND_LINKS alone."""
    return os.environ.get("PIP_NO_INDEX", "0").lower() not in ("", "0", "false", "no", "off")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
