"""Runs docker's commands, or those of podman, which are the same."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from protoserve.platform.errors import ProtoserveError
from protoserve.verify.address import UsageError

_TIMEOUT = 30.0
_UNINTERRUPTED = ("create", "start", "rm")  # may finish, so that it is known which containers exist


class Refused(ProtoserveError):
    """A command failed; the text is what the engine printed."""


class Docker:
    """Runs `COMMAND ARGUMENTS`, bounded in time."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __call__(self, *arguments: str, timeout: float = _TIMEOUT, errors: bool = False) -> str:
        """Standard output, followed by standard error if `errors`. Raises Refused, UsageError.

        Ctrl-C does not reach the command. On an exception a command that creates or removes a container may finish.
        """
        process = self._begin(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(process, 0)
            raise Refused(f"`{self.command} {arguments[0]}` took more than {timeout:g} s") from None
        except BaseException:
            _end(process, 10 if arguments[0] in _UNINTERRUPTED else 0)
            raise
        if process.returncode:
            raise Refused((err or out).strip())
        return (out + err if errors else out).strip()

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What the engine knows about an image or a container. Raises Refused."""
        descriptions: list[dict[str, Any]] = json.loads(self("inspect", "--type", kind, name))
        return descriptions[0]

    def platform(self) -> str:
        """The platform of the engine, such as `linux/amd64`."""
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
                f"{self.command} cannot be run: {error.strerror}; name the engine's command with --docker or DOCKER"
            ) from None


def _end(process: subprocess.Popen[str], seconds: float) -> None:
    """Waits `seconds` for the process to end, then kills it."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
