"""Runs the generator that lies beside this file, at this very version. Copier and a project's Makefile call it:

    python generator/run.py create --package iris --framework sklearn --schema tabular     in a new project
    python generator/run.py generate PROJECT [--check] [--accept-breaking]
    python generator/run.py after-update --package iris                                    in an updated project
    python generator/run.py update PROJECT                                                 `protoserve update`

`python generator/run.py --help` lists all commands. This file decides which Python runs them:

1. the running interpreter, if it has everything the command needs, at exactly the pinned versions for the tools that
   write into projects;
2. else uv, which installs the locked requirements by hash;
3. else none: an error says what to install.

It uses the standard library only, and works with Python 3.10, which can run Copier but not the generator.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protoserve.shared_commands import Command

HERE = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Requirements:
    """What a command needs: the lists, and the lock that pins all that they need. They lie in requirements/."""

    lists: tuple[str, ...]
    lock: str


GENERATOR = Requirements(("generate.in",), "generate.txt")
UPDATER = Requirements(("generate.in", "command.in"), "command.txt")


def main(arguments: list[str]) -> int:
    """The exit code of the command."""
    sys.path.insert(0, str(HERE))
    from protoserve.platform.git import clear_environment
    from protoserve.project.update.options import UPDATE
    from protoserve.shared_commands import (
        AFTER_UPDATE,
        ANSWERS_REFUSED,
        CREATE,
        GENERATOR_COMMANDS,
        SCHEMA_REFUSED,
        build_parser,
    )

    clear_environment()  # it may run in a hook of git
    options = build_parser("run.py", "The generator of this template.", (*GENERATOR_COMMANDS, UPDATE)).parse_args(
        arguments
    )
    command: Command = options.command
    if command is AFTER_UPDATE and not restore_lost_edits(options.package):
        return 1
    code = run_here_or_by_uv(UPDATER if command is UPDATE else GENERATOR, arguments, command.failure)
    if command is CREATE and code and options.dest:
        if code == ANSWERS_REFUSED:
            print("protoserve: correct the answer in the file below before you continue", file=sys.stderr)
        keep_answers(Path(options.dest), options.ref, schema_refused=code == SCHEMA_REFUSED)
    return code


def run_here_or_by_uv(requirements: Requirements, arguments: list[str], failure: int) -> int:
    """The exit code of the command, in this interpreter or in one that uv prepares; `failure` if there is neither."""
    missing = missing_requirements(requirements)
    if not missing:
        from protoserve import generator_cli

        return generator_cli.main(arguments)
    uv = find_uv()
    if uv is not None:
        command = [*uv_command(uv, requirements), *arguments]
        return subprocess.run(command, env=uv_environment(), check=False).returncode
    print(f"protoserve: the generator needs {', '.join(missing)}: {remedy(missing)}", file=sys.stderr)
    return failure


def restore_lost_edits(package: str) -> bool:
    """Restores the edits that Copier's merge dropped; False if that failed, with the reason on standard error.

    It runs in this interpreter, which is Copier's: Copier has to render the version that the project had.
    """
    from protoserve.platform.errors import ProtoserveError
    from protoserve.project import lost_edits

    try:
        notes = lost_edits.restore_lost_edits(Path(), HERE.parent, package)
    except (ProtoserveError, OSError) as error:
        print(f"protoserve: your edits of renamed files cannot be restored: {error}", file=sys.stderr)
        return False
    for note in notes:
        print(f"protoserve: {note}", file=sys.stderr)
    return True


def keep_answers(dest: Path, ref: str, *, schema_refused: bool) -> None:
    """Keeps the answers that Copier got, but not a refused schema, and prints the command that continues with them."""
    from protoserve.platform.errors import ProtoserveError
    from protoserve.project import kept_answers

    project = Path.cwd()
    try:
        recorded = kept_answers.read(project / ".copier-answers.yml")
        source = kept_answers.template_source(project / ".copier-answers.yml")
    except ProtoserveError:
        return  # Copier had not written them yet
    if schema_refused:
        for name in ("schema", "serve"):
            recorded.pop(name, None)
    command = ["copier", "copy", "--trust", *(["--vcs-ref", ref] if ref else []), source, str(dest)]
    kept_answers.keep(recorded, project.name, command, "--data-file", user_folder(project, dest))


def user_folder(project: Path, dest: Path) -> Path:
    """Where Copier was called with the path `dest` for the project; beside the project if that is unknown."""
    shell = Path(os.environ.get("PWD", project.parent))
    if (shell / dest).resolve() == project:
        return shell
    parts = () if dest.is_absolute() else dest.parts
    return project.parents[len(parts) - 1] if parts and project.parts[-len(parts) :] == parts else project.parent


def missing_requirements(requirements: Requirements = GENERATOR) -> list[str]:
    """The requirements that the running interpreter does not meet; without a pin, any version will do.

    A newer protoserve calls it without arguments, and `main`, in a process that has imported this module.
    """
    if sys.version_info < OLDEST_PYTHON:
        return ["Python 3.11 or newer"]
    missing = []
    texts = [(HERE / "requirements" / name).read_text(encoding="utf-8") for name in requirements.lists]
    for line in "".join(texts).splitlines():
        requirement = re.match(r"([A-Za-z0-9._-]+)(?:==(\S+))?", line)
        if requirement is None:
            continue
        try:
            version = importlib.metadata.version(requirement[1])
        except importlib.metadata.PackageNotFoundError:
            version = None
        if version is None or version != (requirement[2] or version):
            missing.append(line.strip())
    return missing


def remedy(missing: list[str]) -> str:
    """What to install. It names packages, not files: Copier removes its clone of the template, and so this folder."""
    if sys.version_info < OLDEST_PYTHON:
        return "install uv (`pip install uv`), which brings a newer Python, and try again"
    requirements = " ".join(f"'{requirement}'" for requirement in missing)
    environment = Path(sys.prefix)
    if "pipx" not in environment.parts:
        where = "into the environment that copier runs in"
        return f"install uv (`pip install uv`), or `pip install {requirements}` {where}, and try again"
    if "venvs" in environment.parts:  # of `pipx install`; the one of `pipx run` is not the user's to change
        return f"`pipx install uv`, or `pipx inject {environment.name} {requirements}`, and try again"
    return "add uv to the command (`pipx run --with uv copier ...`), or `pipx install uv`, and try again"


def find_uv() -> str | None:
    """uv on the PATH, or beside the interpreter, as in an environment that is not activated."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def uv_command(uv: str, requirements: Requirements) -> list[str]:
    """The command that runs the generator with the locked requirements, which uv gets from the user's own index."""
    python = sys.executable if sys.version_info >= OLDEST_PYTHON else ">=3.11"
    lock = HERE / "requirements" / requirements.lock
    options = ["--quiet", "--no-project", "--python", python, "--with-requirements", str(lock)]
    if pip_uses_no_index():
        options.append("--no-index")
    return [uv, "run", *options, "python", "-m", "protoserve.generator_cli"]


def uv_environment() -> dict[str, str]:
    """The environment for uv: with this generator on the path, and with pip's index where uv has none set.

    uv reads none of pip's variables, so an index or a folder of wheels that is set for pip alone is passed on.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    environment["PYTHONPATH"] = str(HERE)
    pip_index = environment.get("PIP_INDEX_URL")
    if pip_index and not (environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")):
        environment["UV_DEFAULT_INDEX"] = pip_index
    if pip_uses_no_index() and not environment.get("UV_FIND_LINKS"):
        environment["UV_FIND_LINKS"] = ",".join(environment.get("PIP_FIND_LINKS", "").split())
    return environment


def pip_uses_no_index() -> bool:
    """Whether pip is set to take packages from PIP_FIND_LINKS alone."""
    return os.environ.get("PIP_NO_INDEX", "0").lower() not in ("", "0", "false", "no", "off")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
