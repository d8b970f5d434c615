"""Run the generator of exactly the template version that this project records.

    python scripts/generate.py [--check] [--accept-breaking]
    python scripts/generate.py version (NAME | --drop NAME)
    python scripts/generate.py diff [REV]
    python scripts/generate.py renumber [--base REV]

.copier-answers.yml records where the template comes from, and its version. git clones that version once per
user, into ~/.cache/protoserve (or below $XDG_CACHE_HOME). PROTOSERVE_GENERATOR names a checkout to use instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import yaml
except ImportError:
    raise SystemExit("generate: PyYAML is not installed here: run `make setup`, then use .venv/bin/python") from None

PROJECT = Path(__file__).resolve().parent.parent
ANSWERS = PROJECT / ".copier-answers.yml"
RUN = Path("generator", "run.py")
SHORT_FORMS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
# git sets these for the hooks that it runs; here they would send commands for the clone to the project's repository.
HOOK_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"}


class GeneratorError(Exception):
    """The generator cannot be run. The message is one line."""


def main() -> int:
    arguments = ["generate", str(PROJECT), *sys.argv[1:]]
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        arguments = [sys.argv[1], "--project", str(PROJECT), *sys.argv[2:]]
    try:
        generator = find_template() / RUN
    except GeneratorError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 2 if arguments[0] == "diff" else 1  # from `diff`, 1 means a breaking change
    return subprocess.run([sys.executable, str(generator), *arguments], check=False).returncode


def find_template() -> Path:
    """The folder that holds the recorded version of the template. Raises GeneratorError."""
    if checkout := os.environ.get("PROTOSERVE_GENERATOR"):
        return Path(checkout).expanduser()
    try:
        answers = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
        source, commit = str(answers["_src_path"]), answers.get("_commit")
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise GeneratorError(f"{ANSWERS.name} cannot be read, restore it from git: {error!r}") from error
    folder = (PROJECT / Path(source).expanduser()).resolve()  # a relative path starts at the project
    if source[:3] in SHORT_FORMS:
        source = SHORT_FORMS[source[:3]] + source[3:].strip("/").removesuffix(".git") + ".git"
    elif folder.is_dir():
        if commit is None:  # the template is not in a git repository
            return folder
        # A tag in a repository on this machine may move, so it is resolved every time.
        source, commit = str(folder), _git("-C", str(folder), "rev-parse", f"{commit}^0")
    return _clone(source.removeprefix("git+"), str(commit))


def _clone(url: str, commit: str) -> Path:
    """The folder of that commit in the user's cache. It appears there only when it is complete."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protoserve"
    folder = cache / hashlib.sha256(f"{url}\0{commit}".encode()).hexdigest()[:24]
    if (folder / RUN).is_file():
        return folder
    print(f"generate: fetching {commit} of {url} into {cache}", file=sys.stderr)
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache, ignore_cleanup_errors=True) as scratch:
            clone = Path(scratch) / "template"
            _git("clone", "--quiet", "--no-checkout", "--", url, str(clone))
            _git("-C", str(clone), "checkout", "--quiet", "--detach", f"{commit}^0")
            if not (folder / RUN).is_file():  # as long as no other process was faster
                shutil.rmtree(folder, ignore_errors=True)
                clone.rename(folder)
    except OSError as error:
        if not (folder / RUN).is_file():
            raise GeneratorError(f"{cache} cannot be written, XDG_CACHE_HOME moves it: {error.strerror}") from error
    return folder


def _git(*arguments: str) -> str:
    """The standard output of a git command. Raises GeneratorError with git's own reason."""
    environment = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    try:
        done = subprocess.run(["git", *arguments], env=environment, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise GeneratorError("git is not installed; it fetches the template") from error
    except subprocess.CalledProcessError as error:
        reasons = [line.removeprefix("fatal: ") for line in error.stderr.splitlines() if "warning:" not in line]
        command = " ".join(["git", *arguments])
        raise GeneratorError(f"{next(filter(None, reasons), 'git failed')} (from `{command}`)") from error
    return done.stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
