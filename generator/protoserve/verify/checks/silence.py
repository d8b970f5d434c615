"""Whose silence it is when a call is not answered: one method's, all handlers', or the whole server's."""

from __future__ import annotations

import time
from dataclasses import dataclass

import grpc

from protoserve.verify.grpc_client import Reply
from protoserve.verify.health_client import Health
from protoserve.verify.session import Session
from protoserve.verify.traffic import NO_SUCH_METHOD

_SECONDS = 2.0
_HEALTH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Silence:
    """What a server answers while one of its methods is silent: Check of `""`, and a method that it does not have.

    Servers refuse an unknown method without a worker. `health_before` is whether Check was answered earlier.
    """

    health: Health
    unknown: Reply
    health_before: bool

    @property
    def server_is_silent(self) -> bool:
        """Whether nothing at all is answered any more."""
        return self.unknown.connection_lost or self.unknown.code is grpc.StatusCode.DEADLINE_EXCEEDED

    @property
    def handlers_are_silent(self) -> bool:
        """Whether no handler is answered, not even that of health."""
        return self.server_is_silent or (
            self.health.reply.connection_lost or self.health.reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
        )

    def __str__(self) -> str:
        return f'Check of "": {self.health}; a method that does not exist: {self.unknown}'

    def cause(self, name: str) -> str:
        """Why the method `name` is silent, as far as these answers show."""
        if self.unknown.connection_lost:
            return why_lost(self.unknown)
        if self.server_is_silent:
            return (
                f"Nothing is answered while {name} runs, not even a call of a method that does not exist: {name} "
                "computes or waits on the event loop, or holds the interpreter lock, or the process stands still."
            )
        if not self.handlers_are_silent:
            if self.health.reply.code is grpc.StatusCode.UNIMPLEMENTED:
                return f"{name} does not answer; the server has no health service, so only that is known."
            return (
                f"Only {name} does not answer, while health does: it waits for something (a lock, another service, a "
                "queue that nobody reads), or computes for longer."
            )
        if self.health_before:
            return (
                f"No handler is answered since {name} was called, not even that of health, while calls that need no "
                f"worker are refused at once: every worker is taken by a call of {name} that does not end."
            )
        return (
            "No handler was ever answered, not even that of health, while calls that need no worker are refused at "
            "once: the server's executor does not run its handlers. grpc.server needs a ThreadPoolExecutor; a "
            "ProcessPoolExecutor cannot run them."
        )

    def remedy(self, name: str) -> str:
        """What to do about it."""
        if self.unknown.connection_lost:
            return "Look at the server's log and exit code."
        if self.handlers_are_silent and not self.server_is_silent and not self.health_before:
            return "Start the server with threads: grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=10))."
        return f"Find out where {name} waits: py-spy dump --pid PID prints the stack of each thread of a Python server."


def why_lost(reply: Reply) -> str:
    """Why a call ended with its connection, as far as the error shows."""
    if "refused" in reply.details.lower():
        return "The server accepts no connections any more: its process has ended, or it has closed its port."
    return (
        "The connection broke: the server's process has ended, or something closes connections (the server itself, or "
        "a proxy in front of it)."
    )


def observe(session: Session) -> Silence:
    """Asks the server, which takes a few seconds if it is silent."""
    before = session.health_answered
    unknown = session.client.call(NO_SUCH_METHOD, b"", _SECONDS)
    return Silence(session.health("", _HEALTH_SECONDS), unknown, before)


def health_word(session: Session) -> str:
    """What health says now, to follow what was seen."""
    asked = time.monotonic() - session.started
    return f'at {asked:.1f} s Check of "" answers {session.health("", _HEALTH_SECONDS)}'
