"""What became of the calls of one method in a run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from protoserve.verify.grpc_client import Reply


@dataclass(slots=True)
class CallLog:
    """The calls that have ended: how many, how many of them with OK, and whether the last one did.

    `messages` are those of the last reply that was OK.

    Calls that were cancelled here do not count.
    """

    ended: int = 0
    answered: int = 0
    last_ok: bool = True
    messages: tuple[bytes, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, reply: Reply) -> None:
        """Counts a call; several threads may do so."""
        if reply.cancelled_here:
            return
        with self._lock:
            self.ended += 1
            self.answered += reply.ok
            self.last_ok = reply.ok
            if reply.ok:
                self.messages = reply.messages
