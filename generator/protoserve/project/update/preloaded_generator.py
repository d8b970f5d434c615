"""Runs commands of a template's generator in processes that have already imported it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PROCESS = Path(__file__).with_name("generator_process.py")
_RUN = Path("generator", "run.py")


class PreloadedGenerators:
    """One process for each version of the template. They end soon after the process that has started them.

    A process that is forked from that one can run commands in them, too.
    """

    def __init__(self, templates: Path, lock: int) -> None:
        """Compiled templates of Jinja are kept in the folder `templates`. The descriptor `lock` is open as long as one
        of the processes works."""
        self._templates, self._lock = templates, lock
        self._processes: dict[Path, tuple[subprocess.Popen[bytes], socket.socket]] = {}

    def start(self, checkout: Path) -> None:
        """Starts the process for the template in `checkout`, if there is none yet. Does not wait until it is ready."""
        if checkout in self._processes or not (checkout / _RUN).is_file():
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with theirs:
            command = [sys.executable, str(_PROCESS), str(checkout), str(self._templates), str(os.getpid())]
            self._processes[checkout] = (
                subprocess.Popen(command, stdin=theirs.fileno(), pass_fds=[self._lock]),
                ours,
            )

    def run_step(self, command: Sequence[str], variables: Mapping[str, str]) -> int | None:
        """The exit code of a command such as `python CHECKOUT/generator/run.py generate`, run in the current folder.

        None if the command is not of that form, or there is no process for it.
        """
        if len(command) < 2 or command[0] != sys.executable or not command[1].endswith(_RUN.as_posix()):
            return None
        process = self._processes.get(Path(command[1]).parents[1])
        if process is None:
            return None
        sys.stdout.flush()
        sys.stderr.flush()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                try:
                    socket.send_fds(process[1], [b"."], [theirs.fileno(), 1, 2])
                except OSError:  # the process has ended
                    return None
            ours.sendall(json.dumps([list(command[2:]), os.getcwd(), dict(variables)]).encode() + b"\n")
            reply = ours.recv(16)
        return int(reply) if reply else 1
