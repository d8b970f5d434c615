"""Runs docker's commands, or those of podman, which are the same."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import IO, Any

from protoserve.platform.errors import ProtoserveError
from protoserve.verify.address import UsageError

_TIMEOUT = 30.0
_MOST_BYTES = 4 << 20  # of what a command prints
_DRAIN_SECONDS = 5.0
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
        outputs = [_Output(pipe) for pipe in (process.stdout, process.stderr) if pipe is not None]
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            _end(process, 0)
            raise Refused(f"`{self.command} {arguments[0]}` took more than {timeout:g} s") from None
        except BaseException:
            _end(process, 10 if arguments[0] in _UNINTERRUPTED else 0)
            raise
        out, err = (output.text() for output in outputs)
        if process.returncode:
            raise Refused((err or out).strip())
        return (out + err if errors else out).strip()

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What the engine knows about an image or a container. Raises Refused."""
        text = self("inspect", "--type", kind, name)
        try:
            descriptions: list[dict[str, Any]] = json.loads(text)
        except (ValueError, RecursionError):
            raise Refused(
                f"`{self.command} inspect` prints what is not JSON, or more than {_MOST_BYTES} bytes"
            ) from None
        return descriptions[0]

    def platform(self) -> str:
        """The platform of the engine, such as `linux/amd64`."""
        try:
            return self("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        except Refused:
            return self("info", "--format", "{{.Host.OS}}/{{.Host.Arch}}")  # podman without a service

    def _begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self.command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"{self.command} cannot be run: {error.strerror}; name the engine's command with --docker or DOCKER"
            ) from None


class _Output:
    """The last output of a command, read in a thread: a container may have logged gigabytes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._data = pipe, bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """At most _MOST_BYTES, once the command has ended."""
        self._thread.join(_DRAIN_SECONDS)
        return bytes(self._data[-_MOST_BYTES:]).decode(errors="replace")

    def _read(self) -> None:
        with self._pipe:
            while part := self._pipe.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe is buffered
                self._data += part
                if len(self._data) > 2 * _MOST_BYTES:
                    del self._data[:-_MOST_BYTES]


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Waits `seconds` for the process to end, then kills it."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
