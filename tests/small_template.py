"""Templates of a few short files with this checkout's generator and migrations, for tests that update often.

An update of their projects takes a fraction of what one of the whole template takes, and goes the same way. Their
generator makes no stubs with protoc: nothing runs the projects.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from commands import MAKES_STUBS, PLAN, run_copy
from releases import Work, commit, edit, environment, git, release, release_three
from support import ROOT, copy_template

ANSWERS, SCRIPT_OF_GENERATOR = "{{_copier_conf.answers_file}}.jinja", "scripts/generate.py.jinja"
_QUESTIONS = {
    "project_name": {"type": "str", "default": "iris"},
    "package": {"type": "str", "default": "iris"},
    "framework": {"type": "str", "default": "python"},
    "port": {"type": "str", "default": "9000"},
    "serve": {"type": "str", "default": "all"},
}


def link_generator(folder: Path) -> None:
    """Gives a template the generator of this checkout without stubs; its package lies beside the template.

    Copier clones the template five times an update, and Python compiles the package once.
    """
    shared = folder.with_name(f"{folder.name}-generator")
    unneeded = shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info")
    shutil.copytree(ROOT / "generator", shared, ignore=unneeded)
    edit(shared / PLAN, MAKES_STUBS, "")
    (folder / "generator").mkdir(parents=True)
    for path in shared.iterdir():
        if path.name in ("protoserve", "requirements"):
            (folder / "generator" / path.name).symlink_to(path)
        else:
            shutil.copy2(path, folder / "generator" / path.name)


def start_template(folder: Path, schema: str) -> None:
    """A repository with the generator, few questions, and what every project needs; nothing is committed."""
    link_generator(folder)
    for name in (ANSWERS, SCRIPT_OF_GENERATOR):
        (folder / "template" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "template" / name, folder / "template" / name)
    whole = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    settings = {name: value for name, value in whole.items() if name.startswith("_") and "message" not in name}
    questions = {**_QUESTIONS, "schema": {"type": "str", "default": schema}}
    text = yaml.safe_dump({**settings, "_exclude": [], **questions}, sort_keys=False, width=1000)
    (folder / "copier.yml").write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "gc.auto", "0")


# --- a template of some thirty files, of which each line occurs once in all of them

FIRST = "v1.0.0"
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
    start_template(folder, "x: float64 -> y: float64")
    (folder / "generator" / "renames.txt").write_text("", encoding="utf-8")
    for name in NAMES:
        path = folder / "template" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(first_lines(name)))
        path.chmod(0o755 if name in SCRIPTS else 0o644)
    port = b"".join([*first_lines(PORT), b"port = {{ port }}\n"])
    (folder / "template" / f"{PORT}.jinja").write_bytes(port)
    release(folder, FIRST)
    return folder


def make_small_project(template: Path, folder: Path, home: Path) -> Work:
    """A project of the first release, committed."""
    arguments = ("--quiet", "--trust", "--defaults", f"--vcs-ref={FIRST}", template, folder)
    run_copy("copier", "copy", *arguments, cwd=folder.parent, env=environment(home), copies_generator=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "made")
    return Work(folder, home)


# --- a template of a dozen files in two releases

README, CODE, SCRIPT = "README.md", "src/iris/server/errors.py", "scripts/check.sh"
TEMPLATES_README, TEMPLATES_CODE = "with make or by hand.", "it could not be done"
NEW_SCRIPT, NEW_FILE = "scripts/release.sh", "guide/start.md"
_FILES = {
    README: "# {{ project_name }}\n\nStart it with make.\n\n## More\n\nNothing yet.\n\nThe end.\n",
    CODE: '"""Errors."""\n\nTEXT = "it failed"\n\n\ndef describe() -> str:\n    return TEXT\n',
    SCRIPT: "#!/bin/sh\necho checked\n",
    "Makefile": "check:\n\tsh scripts/check.sh\n",
    "src/iris/__init__.py": "",
    "src/iris/server/__init__.py": "",
}


def make_two_releases(folder: Path) -> None:
    """The template's repository, `folder/models`, with tags v1.0.0 and v2.0.0.

    v2.0.0 changes README and CODE, makes SCRIPT executable, and adds NEW_SCRIPT, which is executable, and NEW_FILE in
    a folder of its own.
    """
    folder = folder / "models"
    start_template(folder, "tabular")
    shutil.copy2(ROOT / "template" / ".gitignore", folder / "template" / ".gitignore")
    for name, text in _FILES.items():
        _write(folder, name, text)
    release(folder, "v1.0.0")
    edit_template(folder, README, "with make.", TEMPLATES_README)
    edit_template(folder, CODE, "it failed", TEMPLATES_CODE)
    _path(folder, SCRIPT).chmod(0o755)
    _write(folder, NEW_SCRIPT, "#!/bin/sh\necho released\n")
    _path(folder, NEW_SCRIPT).chmod(0o755)
    _write(folder, NEW_FILE, "# Guide\n")
    release(folder, "v2.0.0")


def edit_template(folder: Path, name: str, old: str, new: str) -> None:
    """Replaces text in the template's file that becomes `name` in a project."""
    edit(_path(folder, name), old, new)


def _path(folder: Path, name: str) -> Path:
    suffix = ".jinja" if name == README else ""
    return folder / "template" / (name.replace("/iris/", "/{{package}}/") + suffix)


def _write(folder: Path, name: str, text: str) -> None:
    path = _path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- the three releases of releases.py, without most of their files

_KEPT = (".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "Makefile", "README.md", "buf.yaml", "pyproject.toml")
_KEPT += ("requirements/dev.txt", "scripts/generate.py", "scripts/packages.mk", "tests/test_smoke.py", ANSWERS)
_KEPT += ("artifacts/.gitkeep", "scripts/propose_update.py")
_KEPT += tuple(f"src/{{{{package}}}}/{name}" for name in ("__init__.py", "server/__init__.py", "server/loading.py"))
_KEPT += tuple(f"src/{{{{package}}}}/server/{name}" for name in ("default_port.py", "transports/health.py", "logs.py"))
_KEPT += tuple(f"src/{{{{package}}}}/server/core/{name}" for name in ("__init__.py", "outcomes.py"))
_KEPT_OF_PLATFORMS = ("kubernetes.mk", "base/deployment.yaml.jinja")


def make_three_releases(folder: Path, policies: Mapping[str, str] = {}) -> Path:
    """The template's repository, `folder/models`, with tags v1.0.0, v1.1.0 and v2.0.0, and this generator in each.

    `policies` gives the content of policy.yaml by the release that changes it.
    """
    folder = copy_template(folder / "models")
    shutil.rmtree(folder / "generator")
    link_generator(folder)
    files = folder / "template"
    for path in [path for path in files.rglob("*") if path.is_file()]:
        name = path.relative_to(files).as_posix()
        kept = name in _KEPT or name.removesuffix(".jinja") in _KEPT or name.endswith(_KEPT_OF_PLATFORMS)
        if not kept:
            path.unlink()
    release_three(folder, policies)
    return folder
