"""A process that imports modules once, and answers each request in a copy of itself.

    python server.py FOLDER SETUP [once]

FOLDER comes first on the path of modules. SETUP is `module:function` for a function that returns what answers requests,
or `run.py` for the generator that lies in FOLDER. That may be another version of protoserve than the one that starts
this file, which therefore imports nothing of protoserve's, and works with Python 3.10.

A request is a line of JSON, `{"id": 1, "argument": ..., "stdout": PATH, "stderr": PATH}`, or `{"stop": 1}` to end the
copy that answers a request. A reply is a line `{"id": 1, "code": 0}`, a code below 0 being a signal. The first line is
`{"ready": true}`. At the end of standard input, everything that still works is ended.

With `once`, standard input is the argument of the only request, which this process answers itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Handler = Callable[[Any], int]
_LARGEST_FILE = 2**30  # bytes that one file of an answer may have, so that a disk is not filled by a mistake


def main(folder: str, setup: str, mode: str = "") -> int:
    if mode == "once":
        sys.path[0] = folder
        return _imported(setup)(json.load(sys.stdin))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks decides
    sys.path[0] = folder
    replies = os.dup(1)
    os.set_inheritable(replies, False)
    os.dup2(2, 1)  # what an import prints is not a reply
    handler = _generator(Path(folder)) if setup == "run.py" else _imported(setup)
    _Server(handler, replies).serve()
    return 0


def _imported(setup: str) -> Handler:
    module, _, function = setup.partition(":")
    handler: Handler = getattr(importlib.import_module(module), function)()
    gc.freeze()  # so that copies share the memory of what was imported
    return handler


def _generator(folder: Path) -> Handler:
    """Answers with the exit code of `run.py ARGUMENTS...`."""
    specification = importlib.util.spec_from_file_location("protoserve_run", folder / "run.py")
    assert specification is not None
    assert specification.loader is not None
    run = sys.modules[specification.name] = importlib.util.module_from_spec(specification)  # dataclasses look there
    specification.loader.exec_module(run)
    if run.missing_requirements():
        raise RuntimeError(f"this interpreter cannot run the generator: it lacks {run.missing_requirements()}")
    command_line = importlib.import_module("protoserve.generator_cli")
    if hasattr(command_line, "prepare"):  # as all versions have since there are fleets
        command_line.prepare()
    gc.freeze()
    main: Handler = run.main
    return main


class _Server:
    def __init__(self, handler: Handler, replies: int) -> None:
        self._handler, self._replies = handler, replies
        self._requests: dict[int, int] = {}  # by process
        self._ended, wakeup = os.pipe()
        for descriptor in (self._ended, wakeup):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        self._reply({"ready": True})
        unread = b""
        while True:
            ready, _, _ = select.select([0, self._ended], [], [])
            if self._ended in ready:
                os.read(self._ended, 4096)
                self._collect()
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    break
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._answer(json.loads(line))
        for process in self._requests:
            _end(process)

    def _answer(self, request: dict[str, Any]) -> None:
        if "stop" in request:
            for process, number in self._requests.items():
                if number == request["stop"]:
                    _end(process)
            return
        process = os.fork()
        if process == 0:
            _work(self._handler, request)
        self._requests[process] = request["id"]

    def _collect(self) -> None:
        """Replies for every copy that has ended."""
        for process in list(self._requests):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                self._reply({"id": self._requests.pop(process), "code": os.waitstatus_to_exitcode(status)})

    def _reply(self, reply: dict[str, Any]) -> None:
        os.write(self._replies, json.dumps(reply).encode() + b"\n")


def _end(process: int) -> None:
    """Ends a copy and what it has started."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            end(process, signal.SIGKILL)


def _work(handler: Handler, request: dict[str, Any]) -> None:
    """Answers one request in this copy, which does not return."""
    code = 70
    try:
        os.setsid()  # so that it can be ended with what it starts
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _redirect(request["stdout"], request["stderr"])
        _limit_files()
        code = handler(request["argument"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


def _redirect(stdout: str, stderr: str) -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    for number, path in ((1, stdout), (2, stderr)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)


def _limit_files() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = _LARGEST_FILE if hard == resource.RLIM_INFINITY else min(_LARGEST_FILE, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
