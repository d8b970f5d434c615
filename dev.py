"""The two commands of the README, on a machine with nothing but Python 3.11 or newer and git.

    python3 dev.py demo [DEST]          make a project and show a real prediction from it (DEST: demo/iris)
    python3 dev.py test [PYTEST ARGS]   the linters, the type checker and the tests

Both create .venv and work in it. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"
LOCK = HERE / "generator" / "requirements" / "dev.txt"
INSTALLED = HERE / ".venv" / "installed.txt"  # what was installed: the texts that say so
USAGE = "usage: python3 dev.py demo [DEST] | python3 dev.py test [PYTEST ARGS]"


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - a clear message before anything else fails
        print(f"dev.py: this is Python {sys.version.split()[0]}; 3.11 or newer is needed", file=sys.stderr)
        return 1
    # Python compiles what is imported (see `environment`), and has to keep it, or every process would compile it anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        match arguments:
            case ["demo"]:
                return demo(HERE / "demo" / "iris")
            case ["demo", dest]:
                return demo(Path(dest).absolute())
            case ["test", *rest]:
                return test(rest)
    except subprocess.CalledProcessError as error:
        print(f"dev.py: {' '.join(map(str, error.cmd))} exited {error.returncode}", file=sys.stderr)
        return 1
    print(USAGE, file=sys.stderr)
    return 2


def demo(dest: Path) -> int:
    """From nothing to a prediction: the commands that a project's own README gives, one after the other."""
    if dest.exists():
        print(f"dev.py: {dest} is there already; remove it or name another folder", file=sys.stderr)
        return 1
    tools = development_tools()
    show([str(tools / "protoserve"), "new", str(dest), "--project-name", "iris", "--defaults"], HERE)
    project = environment(dest / ".venv", "--editable", str(dest))
    python = str(project / "python")
    show([python, "train.py"], dest)
    port = free_port()
    print(f"$ PORT={port} {python} -m iris.server &", flush=True)
    server = subprocess.Popen([python, "-m", "iris.server"], cwd=dest, env={**os.environ, "PORT": str(port)})
    try:
        show([python, "scripts/predict.py", "--wait", "60", "--target", f"127.0.0.1:{port}"], dest)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    print(f"\nThe project is in {dest}; its README.md says how to go on.")
    return 0


def test(arguments: list[str]) -> int:
    """Without arguments: linters, types and all tests that need neither a new environment nor Docker."""
    is_new = not development_tools_are_installed()
    tools = development_tools()
    show([str(tools / "ruff"), "check", "."], HERE)
    show([str(tools / "ruff"), "format", "--check", "."], HERE)
    # Four at a time, since they also wait; the tests of a group (see tests/conftest.py) one after the other.
    side_by_side = ["-n", "4", "--dist", "loadgroup", "--no-loadscope-reorder"]
    pytest = [str(tools / "python"), "-m", "pytest", *side_by_side, *arguments]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # model libraries a core each
    mypy = [str(tools / "python"), "-m", "mypy"]
    with subprocess.Popen(mypy, cwd=HERE, stdout=subprocess.PIPE, text=True) as types:  # meanwhile
        try:
            if is_new:  # one process compiles the tests, and what they import, for all that then start at once
                collect = [str(tools / "python"), "-m", "pytest", "--collect-only", "-qq", *arguments]
                subprocess.run(collect, cwd=HERE, stdout=subprocess.DEVNULL, check=False)
            show(pytest, HERE)
        finally:
            print(f"$ python -m mypy\n{types.communicate()[0]}", end="", flush=True)
    if types.returncode:
        raise subprocess.CalledProcessError(types.returncode, mypy)
    return 0


def development_tools() -> Path:
    """Installs protoserve and the locked tools into .venv, if the lock has changed; the folder of its commands."""
    if not development_tools_are_installed():
        environment(HERE / ".venv", "--require-hashes", "--requirement", str(LOCK))
        environment(HERE / ".venv", "--no-deps", "--no-build-isolation", "--editable", str(HERE))
        INSTALLED.write_text(_to_install(), encoding="utf-8")
    return HERE / ".venv" / BIN


def development_tools_are_installed() -> bool:
    return INSTALLED.is_file() and INSTALLED.read_text(encoding="utf-8") == _to_install()


def _to_install() -> str:
    return LOCK.read_text(encoding="utf-8") + (HERE / "pyproject.toml").read_text(encoding="utf-8")


def environment(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these requirements; the folder of its commands."""
    is_new = not (folder / BIN).exists()
    if is_new:
        show([sys.executable, "-m", "venv", str(folder)], HERE)
    pip = [str(folder / BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip.append("--no-compile")  # Python compiles what it imports, which is a small part of what is installed
    if is_new:
        show([*pip, "--upgrade", "pip"], HERE)  # the one that comes with Python may take twice as long
    show([*pip, *requirements], HERE)
    return folder / BIN


def show(command: list[str], folder: Path) -> None:
    """Prints a command and runs it; raises CalledProcessError."""
    name = os.path.relpath(command[0], folder) if Path(command[0]).is_relative_to(folder) else command[0]
    print("$", name, *command[1:], flush=True)
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PATH": _path(command[0])})


def _path(command: str) -> str:
    """The PATH with the folder of the command first, as in an activated environment."""
    folder = str(Path(command).parent) if shutil.which(command) is None or os.sep in command else ""
    return os.pathsep.join(filter(None, [folder, os.environ.get("PATH", "")]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
