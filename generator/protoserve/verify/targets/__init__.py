"""Servers that verify starts itself, and always ends."""

from __future__ import annotations

from typing import Protocol

from protoserve.verify.address import Address


class Started(Protocol):
    """A server process or container that verify started."""

    @property
    def address(self) -> Address:
        """Where this machine reaches it."""

    def start(self) -> None:
        """Starts it. The caller must make sure beforehand that `close` will be called."""

    def ended(self) -> bool:
        """Whether it has ended by itself."""

    def exit_report(self) -> str:
        """Its exit code, if it ended, and the last lines of its log."""

    def listens_elsewhere(self) -> str | None:
        """Where it listens, if that is not where callers reach it: `127.0.0.1:PORT` for the loopback only,
        `0.0.0.0:N, and not on port PORT` for other ports. None if it listens there, or this is not known.
        """

    def serves_elsewhere(self) -> bool:
        """Whether it is known to serve on another port, so that waiting for it is of no use."""

    def terminate(self) -> None:
        """Sends SIGTERM, as a platform does to stop it."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code (128 + the number of the signal that ended it), None if it is still running after `seconds`."""

    def close(self) -> None:
        """Ends it and removes everything that was created for it; may be called twice."""
