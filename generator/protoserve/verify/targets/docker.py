"""The commands of docker (or podman, which takes the same) that a run needs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from protoserve.verify.address import UsageError

_PATIENCE = 30.0
_MAKING = ("create", "start", "rm")  # commands that are let end: half done, nobody knows what there is


class Refused(Exception):
    """What the engine said to a command that failed."""


class Docker:
    """Runs `COMMAND ARGUMENTS`, bounded in time."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __call__(self, *arguments: str, timeout: float = _PATIENCE, errors: bool = False) -> str:
        """Standard output, with `errors` what was written to standard error after it. Raises Refused, UsageError.

        A Ctrl-C does not reach the command, and an exception here waits for one that makes or removes something: what
        there is then is known.
        """
        process = self._begin(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException as stop:
            _wait(process, 10 if arguments[0] in _MAKING and not isinstance(stop, subprocess.TimeoutExpired) else 0)
            if isinstance(stop, subprocess.TimeoutExpired):
                raise Refused(f"`{self.command} {arguments[0]}` took more than {timeout:g} s") from None
            raise
        if process.returncode:
            raise Refused((err or out).strip())
        return (out + err if errors else out).strip()

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What the engine knows of an image or a container. Raises Refused."""
        found: list[dict[str, Any]] = json.loads(self("inspect", "--type", kind, name))
        return found[0]

    def platform(self) -> str:
        """What the engine runs, such as `linux/amd64`."""
        try:
            return self("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        except Refused:
            return self("info", "--format", "{{.Host.OS}}/{{.Host.Arch}}")  # podman without a service

    def _begin(self, *arguments: str) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                [self.command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"{self.command} cannot be run: {error.strerror}; name the command with --docker, or by DOCKER"
            ) from None


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    """Lets it end within `seconds`, then ends it."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
