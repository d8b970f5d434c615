"""Runs `protoserve` for the tests, in copies of a process that has imported it: its start takes longer than its work.

Each command has a process of its own all the same, with its own environment, folder and output. Tests of signals,
terminals, closed pipes and locales start the command anew, as its users do.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from plumbum import local

from protoserve.platform.git import clear_environment
from support import ROOT

# Where the generator makes stubs with protoc, which is most of its time.
PLAN = Path("protoserve", "emit", "generated_files.py")
MAKES_STUBS = "    files |= _compiled(schemas.contracts, package, files)\n"


def protoserve(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs `protoserve` with these arguments; one that fails shows all that it printed."""
    return run_copy("protoserve", *arguments, cwd=cwd, env=env, check=check)


def run_copy(
    program: str,
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    copies_generator: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs `protoserve` or `copier` in a copy of the process.

    With `copies_generator` the generator of a template that has only a link to it (small_template.py) runs in such a
    copy, too.
    """
    with tempfile.TemporaryDirectory(prefix="command-") as folder:
        out, errors, code = (Path(folder, name) for name in ("out", "errors", "code"))
        os.mkfifo(code)
        request = {
            "program": program,
            "copies_generator": copies_generator,
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "environment": dict(os.environ if env is None else env),
            "output": [str(out), str(errors)],
            "code": str(code),
        }
        with _ASKING:
            stdin = _copies().stdin
            assert stdin is not None
            print(json.dumps(request), file=stdin, flush=True)
        exit_code = int(code.read_text(encoding="utf-8"))
        texts = [path.read_text(encoding="utf-8", errors="backslashreplace") for path in (out, errors)]
    done = subprocess.CompletedProcess([program, *map(str, arguments)], exit_code, *texts)
    assert not check or exit_code == 0, f"{done.args} exited {exit_code}\n{done.stdout}\n{done.stderr}"
    return done


_ASKING = threading.Lock()  # tests run commands side by side, too


@cache
def _copies() -> subprocess.Popen[str]:
    """The process that is copied."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "commands"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True)
    atexit.register(process.kill)
    return process


def serve() -> None:
    """Runs commands from standard input, side by side. A copy waits for each and writes its exit code."""
    from copier._cli import CopierApp

    import protoserve.cli
    import protoserve.generator_cli
    import protoserve.project.generate
    import protoserve.project.update.merge  # imported once here, not by each update

    programs = {
        "protoserve": protoserve.cli.main,
        "copier": lambda arguments: CopierApp.run(["copier", *arguments]),
    }
    for line in sys.stdin:
        if os.fork() == 0:
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                os._exit(_run(programs[request["program"]], request))
            exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            Path(request["code"]).write_text(str(exit_code), encoding="utf-8")
            os._exit(0)
        _forget_the_ended()


def _forget_the_ended() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _run(main: Callable[[list[str]], Any], request: dict[str, Any]) -> int:
    """The exit code of a command in this process, which is a copy."""
    signal.alarm(900)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # plumbum, through which Copier runs git, keeps an environment and a folder of its own.
    if request["program"] == "protoserve":
        clear_environment()  # as it does before it imports plumbum
    local.env.clear()
    local.env.update(dict(os.environ))
    local.cwd.chdir(request["cwd"])
    tempfile.tempdir = None  # TMPDIR may be another one
    for number, path in enumerate([os.devnull, *request["output"]]):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    sys.argv = [request["program"], *request["arguments"]]
    if request["copies_generator"]:
        _copy_generators()
    return _exit_code(lambda: main(request["arguments"]))


def _copy_generators() -> None:
    """Lets this process run the generator of a template in a copy of itself, not in a new interpreter."""
    from protoserve import generator_cli
    from protoserve.emit import generated_files

    start = subprocess.run

    def run(command: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
        script = Path(str(command[1])) if not isinstance(command, str) and len(command) > 1 else None
        # `status` captures it in one of several threads, and a copy of such a process may wait for ever.
        if script is None or not _can_be_copied(script) or "capture_output" in options:
            return start(command, **options)
        pid = os.fork()
        if pid == 0:
            if options.get("env") is not None:
                os.environ.clear()
                os.environ.update(options["env"])
            sys.argv = [str(part) for part in command[1:]]
            if script.name == "run.py":
                generator_cli._TEMPLATE = script.parents[1]  # where the template's own copy of that module lies
                if MAKES_STUBS not in (script.parent / PLAN).read_text(encoding="utf-8"):
                    generated_files._compiled = lambda *_: {}
            os._exit(_exit_code(lambda: runpy.run_path(str(script), run_name="__main__")))
        return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    subprocess.run = run  # type: ignore[assignment]


def _can_be_copied(script: Path) -> bool:
    """Whether it needs no modules but those of this process."""
    if script.parts[-2:] == ("generator", "run.py"):
        return (script.parent / "protoserve").is_symlink()
    return script.parts[-2:] == ("scripts", "generate.py")


def _exit_code(main: Callable[[], Any]) -> int:
    """What the process of that function would exit with."""
    try:
        return int(main() or 0)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return error.code if isinstance(error.code, int) else 1 if error.code else 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve()
