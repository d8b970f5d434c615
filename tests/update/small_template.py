"""A template of a dozen files, in two releases, for situations that have nothing to do with how many it has.

The generator, the steps that run it, and `scripts/generate.py` are those of this checkout. Rendering all of the
template's files is most of the time of an update.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from releases import edit, git, release
from support import ROOT

QUESTIONS = {
    "project_name": {"type": "str", "default": "iris"},
    "package": {"type": "str", "default": "iris"},
    "framework": {"type": "str", "default": "python"},
    "schema": {"type": "str", "default": "tabular"},
    "serve": {"type": "str", "default": "all"},
    "port": {"type": "int", "default": 9000},
}
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


def make_small_template(folder: Path) -> None:
    """The template's repository, `folder/models`, with tags v1.0.0 and v2.0.0.

    v2.0.0 changes README and CODE, makes SCRIPT executable, and adds NEW_SCRIPT, which is executable, and NEW_FILE in
    a folder of its own.
    """
    generator = _copy_generator(folder / "generator")
    folder = folder / "models"
    own = ("{{_copier_conf.answers_file}}.jinja", "scripts/generate.py.jinja", ".gitignore")
    for name in own:
        (folder / "template" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "template" / name, folder / "template" / name)
    shutil.copytree(generator, folder / "generator", ignore=lambda path, _: _folders(Path(path), generator))
    for path in [*(generator / "protoserve").iterdir(), generator / "requirements"]:
        if path.is_dir():  # Python compiles these modules once, not again in each clone
            (folder / "generator" / path.relative_to(generator)).symlink_to(path)
    _write_questions(folder / "copier.yml")
    for name, text in _FILES.items():
        _write(folder, name, text)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "gc.auto", "0")
    release(folder, "v1.0.0")
    edit_template(folder, README, "with make.", TEMPLATES_README)
    edit_template(folder, CODE, "it failed", TEMPLATES_CODE)
    _path(folder, SCRIPT).chmod(0o755)
    _write(folder, NEW_SCRIPT, "#!/bin/sh\necho released\n")
    _path(folder, NEW_SCRIPT).chmod(0o755)
    _write(folder, NEW_FILE, "# Guide\n")
    release(folder, "v2.0.0")


def _folders(folder: Path, generator: Path) -> list[str]:
    """The folders in this one, except for the package's own."""
    return [path.name for path in folder.iterdir() if path.is_dir() and path != generator / "protoserve"]


def _copy_generator(folder: Path) -> Path:
    """The generator without protoc, which is most of its time: nothing here runs the project."""
    unneeded = shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info")
    shutil.copytree(ROOT / "generator", folder, ignore=unneeded)
    compiled = "    files |= _compiled(schemas.contracts, package, files)\n"
    edit(folder / "protoserve/emit/generated_files.py", compiled, "")
    return folder


def edit_template(folder: Path, name: str, old: str, new: str) -> None:
    """Replaces text in the template's file that becomes `name` in a project."""
    edit(_path(folder, name), old, new)


def _write_questions(path: Path) -> None:
    """The steps of this checkout's copier.yml with few questions."""
    whole = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    settings = {name: value for name, value in whole.items() if name.startswith("_") and "message" not in name}
    settings["_exclude"] = ["/generator"]
    path.write_text(yaml.safe_dump({**settings, **QUESTIONS}, sort_keys=False, width=1000), encoding="utf-8")


def _path(folder: Path, name: str) -> Path:
    suffix = ".jinja" if name == README else ""
    return folder / "template" / (name.replace("/iris/", "/{{package}}/") + suffix)


def _write(folder: Path, name: str, text: str) -> None:
    path = _path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
