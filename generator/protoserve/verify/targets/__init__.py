"""Servers that a run starts itself, and ends whatever happens."""

from __future__ import annotations

from typing import Protocol

from protoserve.verify.address import Address


class Started(Protocol):
    """A server process or container of this run."""

    @property
    def address(self) -> Address:
        """Where this machine reaches it."""

    def start(self) -> None:
        """Starts it; whoever calls this has seen to it before that `close` will be called."""

    def ended(self) -> bool:
        """Whether it has ended by itself."""

    def told(self) -> str:
        """Its exit code, where it ended, and the last lines of its log."""

    def listens(self) -> str | None:
        """Where it listens instead of where it is asked: `127.0.0.1:PORT` for the loopback only, `0.0.0.0:N, and not on
        port PORT` for other ports. None where that is not so, or not known.
        """

    def terminate(self) -> None:
        """Sends SIGTERM, as a platform does to stop it."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code (128 + the number of a signal that ended it), None if it still runs after `seconds`."""

    def close(self) -> None:
        """Ends it, and removes all that was made for it; may be called twice."""
