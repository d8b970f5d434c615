"""A process that has imported the generator of one version of a template, and runs its commands in children of itself.

    python generator_process.py CHECKOUT TEMPLATES PARENT < SOCKET

Importing Copier, the generator and protoc takes a second for each command. Standard input is a socket of datagrams.
Each brings descriptors: a socket on which a line of JSON has the words after `run.py`, the folder and the variables,
and those for the output of the command; the reply is the exit code. Compiled templates of Jinja are kept in TEMPLATES.
It ends soon after the process PARENT.

`PreloadedGenerators` starts it. It is a script, not a module of protoserve: the protoserve in it is that of CHECKOUT.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import tempfile
from pathlib import Path

# What the commands import; a version of the template may lack some.
_MODULES = (
    *("copier", "yaml", "grpc_tools", "protoserve.generator_cli", "protoserve.project.before_update"),
    *("protoserve.project.lost_edits", "protoserve.project.lost_edits.render_version", "protoserve.project.generate"),
    "protoserve.emit.generated_files",
)


def main(checkout: Path, templates: Path, parent: int) -> None:
    """Serves until the parent process has ended."""
    # Not the folder of this file, whose modules are those of another version.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
    with contextlib.suppress(ImportError):
        compiled = _load("compiled_templates", Path(__file__).with_name("compiled_templates.py"))
        compiled.share_compiled_templates(templates)
    runner = _load_runner(checkout)
    gc.freeze()  # so that copies share the memory of what was imported
    requests = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    while os.getppid() == parent:
        if select.select([requests], [], [], 1.0)[0]:
            _, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
            if os.fork() == 0:
                requests.close()
                _serve(descriptors, runner)
            for descriptor in descriptors:
                os.close(descriptor)
        _collect_children()


def _collect_children() -> None:
    """Waits for the children that have ended. If they were ignored, the time that they took would count nowhere."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _load_runner(checkout: Path):  # type: ignore[no-untyped-def]
    """The module run.py of the checkout, and with it what its commands import if this interpreter can run them."""
    generator = checkout / "generator"
    sys.path.insert(0, str(generator))
    module = _load("protoserve_run", generator / "run.py")
    if not module.missing_requirements():
        for name in _MODULES:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        with contextlib.suppress(AttributeError):  # of a version before there were fleets
            sys.modules["protoserve.generator_cli"].prepare()
    return module


def _load(name: str, path: Path):  # type: ignore[no-untyped-def]
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def _serve(descriptors: list, runner) -> None:  # type: ignore[no-untyped-def,type-arg]
    """Runs one command, replies with its exit code, and ends the process."""
    code = 1
    connection = socket.socket(fileno=descriptors[0])
    try:
        with connection.makefile("rb") as file:
            words, folder, variables = json.loads(file.readline())
        for number, descriptor in enumerate(descriptors[1:], start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        _enter(folder, variables)
        code = _exit_code(runner, words)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            connection.sendall(str(code).encode())
        os._exit(0)


def _enter(folder: str, variables: dict) -> None:  # type: ignore[type-arg]
    """Makes this process one that was started in a folder with these variables."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None
    if "plumbum" in sys.modules:  # which remembers both for what Copier starts
        import plumbum

        plumbum.local.cwd.chdir(folder)
        plumbum.local.env.clear()
        plumbum.local.env.update(variables)


def _exit_code(runner, words: list) -> int:  # type: ignore[no-untyped-def,type-arg]
    sys.argv = [str(runner.__file__), *words]
    try:
        return int(runner.main(words) or 0)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
