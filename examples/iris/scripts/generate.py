"""Run the generator of exactly the template version that this project records.

    python scripts/generate.py [--check] [--accept-breaking]
    python scripts/generate.py version (NAME | --drop NAME)
    python scripts/generate.py diff [REV]
    python scripts/generate.py renumber [--base REV]
    python scripts/generate.py policy

.copier-answers.yml records where the template comes from, and its version. git clones that version once per
user, into ~/.cache/protoserve (or below $XDG_CACHE_HOME). PROTOSERVE_GENERATOR names a checkout to use instead.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
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
# git sets the first of these for the hooks that it runs: they would send commands for the clone to another repository.
IGNORED_VARIABLES = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_NAMESPACE", "GIT_TEMPLATE_DIR", "GIT_DEFAULT_HASH", "GIT_LITERAL_PATHSPECS"),
}
# The clone is the template as it was committed: no hook of the user runs in it, and no setting converts its lines.
SETTINGS = {
    "core.hooksPath": os.devnull,
    "init.defaultBranch": "main",
    "init.templateDir": "",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.eol": "lf",
    "submodule.recurse": "false",
    "protocol.ext.allow": "never",
    "protocol.fd.allow": "never",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}


MOST_BYTES = 2**20  # of the answers
SECONDS = 300  # for git to fetch the template
# What is taken for a source, beside folders and short forms: for another one, such as `ext::COMMAND`, git would run a
# program. A user, host or path that begins with a dash would be an option of ssh.
URLS = (
    r"https://[^\s@/-]\S*",
    r"ssh://([^\s@/-][^\s/]*@)?(\[[0-9a-f:.]+\]|\w[\w.-]*)(:\d+)?/(?!-).*",
    r"\w[\w.-]*@(\[[0-9a-f:.]+\]|\w[\w.-]*):(?![-:]).+",
    r"(gh|gl):/*[\w.~-]+(/[\w.~-]+)+/*",
)
USER_OF_URL = re.compile(r"""(?i)\b([a-z][a-z0-9+.-]*://)(?:[^\s/]*@|[^\s/:@\[]*:(?!\d*[/\s])[^\s"']*@)""")
QUERY_OF_URL = re.compile(r"""(?i)(\b[a-z][a-z0-9+.-]*://[^\s?"'<>`]*)\?[^\s"'<>`)]*""")
NO_SUCH_VERSION = re.compile(r"unknown revision|did not match any|not a tree|bad object|single revision")


class GeneratorError(Exception):
    """The generator cannot be run. The message is one line, without the credentials of URLs."""

    def __init__(self, message: str) -> None:
        super().__init__(_printable(message))


class MissingVersionError(GeneratorError):
    """The template does not have a version."""


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
        answers = yaml.safe_load(_text_of_answers())
        source, commit = answers["_src_path"], answers.get("_commit")
        hashes = answers.get("_commit_hash")  # of the commit that a tag was when the project took it
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise GeneratorError(f"{ANSWERS.name} cannot be read, restore it from git: {error!r:.300}") from error
    if not isinstance(source, str) or not isinstance(commit, str | int | float | None) or not _is_source(source):
        forms = "a folder, a URL of https, ssh or file, git@HOST:PATH, or a short form such as gh:OWNER/NAME"
        raise GeneratorError(f"_src_path in {ANSWERS.name} must be {forms}, not {source!r:.300}")
    folder = (PROJECT / os.path.expanduser(source)).resolve()  # a relative path starts at the project
    is_folder = source[:3] not in SHORT_FORMS and folder.is_dir()
    if source[:3] in SHORT_FORMS:
        source = SHORT_FORMS[source[:3]] + source[3:].strip("/").removesuffix(".git") + ".git"
    elif is_folder:
        if commit is None:  # the template is not in a git repository
            return folder
        source = str(folder)
    source, commit = source.removeprefix("git+"), str(commit)
    if commit.startswith("-"):
        raise GeneratorError(f"{ANSWERS.name} records {commit}, which is not a version: restore it from git")
    taken = hashes.get(commit) if isinstance(hashes, dict) else None
    if isinstance(taken, str) and re.fullmatch("[0-9a-f]{40,64}", taken):
        try:
            return _clone(source, taken)
        except MissingVersionError:
            text = f"the template no longer has commit {taken}, which {commit} was: using what {commit} is now"
            print(f"generate: {text}", file=sys.stderr)
    if is_folder:  # a tag in a repository on this machine may move, so it is resolved every time
        commit = _git(source, "-C", source, "rev-parse", f"{commit}^0")
    return _clone(source, commit)


def _text_of_answers() -> str:
    """The text of the answers; a file that is not regular, or too large, is not opened."""
    status = ANSWERS.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
        raise ValueError(f"it must be a file of at most {MOST_BYTES} bytes")
    return ANSWERS.read_text(encoding="utf-8")


def _is_source(source: str) -> bool:
    """Whether a text has the form of a template's source. A path must not lead to a pipe or a device."""
    address = source.removeprefix("git+")
    if not address or len(source) > 4096 or not source.isprintable() or address.startswith("-"):
        return False
    if any(re.fullmatch(form, address, re.IGNORECASE) for form in URLS):
        return True
    file = re.fullmatch(r"file://(?:localhost)?(/.*)", address, re.IGNORECASE)
    is_path = file is not None or ":" not in address.partition("/")[0] or re.match(r"[A-Za-z]:[\\/]", address)
    path = Path(file[1]) if file else PROJECT / os.path.expanduser(address)
    return bool(is_path) and (path.is_dir() or path.is_file() or not path.exists())


def _clone(url: str, commit: str) -> Path:
    """The folder of that commit in the user's cache. It appears there only when it is complete."""
    cache = _cache()
    folder = cache / hashlib.sha256(f"{url}\0{commit}".encode()).hexdigest()[:24]
    if (folder / RUN).is_file():
        return folder
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        print(f"generate: fetching {commit} of {_printable(url)} into {cache}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache, ignore_cleanup_errors=True) as scratch:
            clone = Path(scratch) / "template"
            _git(url, "clone", "--quiet", "--no-checkout", "--", url, str(clone))
            _git(url, "-C", str(clone), "checkout", "--quiet", "--detach", f"{commit}^0")
            if not (folder / RUN).is_file():  # as long as no other process was faster
                shutil.rmtree(folder, ignore_errors=True)
                clone.rename(folder)
    except OSError as error:
        if not (folder / RUN).is_file():
            remedy = "set XDG_CACHE_HOME to a folder that can"
            raise GeneratorError(f"{cache} cannot be written ({error.strerror}): {remedy}") from error
    return folder


def _printable(text: str) -> str:
    return QUERY_OF_URL.sub(r"\1", USER_OF_URL.sub(r"\1", text))


def _cache() -> Path:
    """The folder of all clones of this user."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protoserve"
    except RuntimeError as error:
        raise GeneratorError("this user has no home folder for the cache: set XDG_CACHE_HOME to a folder") from error


def _git(url: str, *arguments: str) -> str:
    """The standard output of a git command for the template. Raises GeneratorError with git's own reason."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in IGNORED_VARIABLES and not name.startswith("GIT_TRACE")
    }
    environment |= dict.fromkeys(("GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF"), "0")  # else settings decide
    environment["LANGUAGE"] = "en"  # for the reasons of failures
    if sys.stdin is None or not sys.stdin.isatty():
        environment["GIT_TERMINAL_PROMPT"] = "0"
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    try:
        command = ["git", *settings, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise GeneratorError(f"the template {url} did not answer within {SECONDS} seconds") from error
    except FileNotFoundError as error:
        raise GeneratorError("git is not installed; it fetches the template") from error
    except subprocess.CalledProcessError as error:
        raise _failure(url, error.stderr) from error
    return done.stdout.strip()


def _failure(url: str, stderr: str) -> GeneratorError:
    """What failed, with git's reason, and what to do."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "warning:" not in line]
    reason = lines[0].removeprefix("fatal: ").removeprefix("error: ") if lines else "git failed"
    if NO_SUCH_VERSION.search(reason):
        return MissingVersionError(f"the template {url} does not have the version in {ANSWERS.name}: {reason}")
    trust = next((line for line in lines if line.startswith("git config --global --add safe.directory")), None)
    if trust is not None:
        return GeneratorError(f"{reason}: if you trust it, run `{trust}`")
    moved = f"if it has moved, write its new place into {ANSWERS.name} (_src_path), and commit that"
    return GeneratorError(f"the template {url} cannot be fetched: {reason}; {moved}")


if __name__ == "__main__":
    raise SystemExit(main())
