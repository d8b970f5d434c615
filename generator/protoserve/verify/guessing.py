"""Finding a request that a method takes: the given one, or one of several that are made up from the types."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from protoserve.verify.client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.requests import Request, lengths_in

if TYPE_CHECKING:
    from protoserve.verify.session import Session

# Made-up requests are varied for so long, and while what the server says of them varies too.
_SECONDS = 5.0
_SAME_ERRORS = 4
_REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
)
_ERRORS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
_STREAM_SECONDS = 3.0


def search(session: Session, method: Method) -> Reply:
    """The answer to the first candidate that the method takes, which is settled on.

    Where it takes none: the answer to one that it did not refuse, since that came furthest, else to the first. That
    request is then the method's, until a better one is found.
    """
    assert session.requests is not None
    best: tuple[Request, Reply] | None = None
    told: list[int] = []
    errors: list[str] = []
    until = time.monotonic() + _SECONDS
    for request in session.requests.candidates(method, told):
        reply = session.ask(method, request.data)
        if not method.gives_stream and hung(session, reply):
            reply = _as_stream(session, method, request.data) or reply
        if reply.ok:
            session.requests.settle(method, request)
            return reply
        if best is None or (best[1].code in _REFUSALS and reply.code not in _REFUSALS):
            best = request, reply
        errors.append(f"{reply.code} {reply.details}")
        told[:] = [*lengths_in(reply.details), *told]
        same = reply.code in _ERRORS and errors[-_SAME_ERRORS:] == errors[-1:] * _SAME_ERRORS
        if reply.code not in (*_REFUSALS, *_ERRORS) or same or time.monotonic() > until:
            break
    assert best is not None
    session.requests.prefer(method, best[0])
    return best[1]


def hung(session: Session, reply: Reply) -> bool:
    """Whether no answer came in time; a server that says DEADLINE_EXCEEDED at once did answer."""
    over = reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and not reply.messages
    return over and (reply.seconds > session.timeout / 2 or not session.left())


def _as_stream(session: Session, method: Method, data: bytes) -> Reply | None:
    """Several messages in answer to one call: a caller that expects one waits for ever."""
    timeout = min(_STREAM_SECONDS, session.timeout)
    reply = session.client.call(method.path, data, timeout, stream=method.takes_stream, many=True)
    late = grpc.StatusCode.DEADLINE_EXCEEDED  # which is how the call that was asked for ended
    return replace(reply, code=late) if len(reply.messages) > 1 else None
