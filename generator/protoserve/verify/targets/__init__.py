"""Servers that a run starts itself, and ends whatever happens."""

from __future__ import annotations

from typing import Protocol

from protoserve.verify.address import Address


class Started(Protocol):
    """A server process or container of this run."""

    address: Address

    def ended(self) -> bool:
        """Whether it has ended by itself."""

    def told(self) -> str:
        """Its exit code, where it ended, and the last lines of its log."""

    def listens(self) -> str | None:
        """`127.0.0.1:PORT` where it is bound to the loopback only, so that nobody outside reaches it."""

    def terminate(self) -> None:
        """Sends SIGTERM, as a platform does to stop it."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code (128 + the number of a signal that ended it), None if it still runs after `seconds`."""

    def close(self) -> None:
        """Ends it, and removes all that was made for it; may be called twice."""
