"""Tries requests on a method until it accepts one: the user's own, or guesses from the types of its fields."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from protoserve.verify.error_texts import EXCEPTIONS, says_not_ready
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.sample_requests import Request, lengths_in

if TYPE_CHECKING:
    from protoserve.verify.session import Session

# The search ends after this many seconds, or when the server's last errors are all the same.
_SECONDS = 5.0
_SAME_ERRORS = 4
_REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
)
_STREAM_SECONDS = 3.0


def find_accepted_request(session: Session, method: Method, timeout: float | None = None) -> Reply:
    """The reply to the first candidate that the method accepts, which becomes the method's request.

    If it accepts none: the reply to one that it did not refuse, since that one got furthest, else to the first. That
    request is then the method's first candidate. `timeout` is for each call; that of --timeout unless another is given.
    """
    assert session.requests is not None
    best: tuple[Request, Reply] | None = None
    suggested_lengths: list[int] = []
    errors: list[str] = []
    until = time.monotonic() + _SECONDS
    for request in session.requests.candidates(method, suggested_lengths):
        reply = session.ask(method, request.data, timeout)
        if reply.too_large and session.client.receive_more():
            reply = session.ask(method, request.data, timeout)
        if not method.gives_stream and hung(session, reply):
            reply = _ask_as_stream(session, method, request.data) or reply
        if reply.ok:
            session.requests.settle(method, request)
            return reply
        if best is None or (best[1].code in _REFUSALS and reply.code not in _REFUSALS):
            best = request, reply
        errors.append(f"{reply.code} {reply.details}")
        suggested_lengths[:] = [*lengths_in(reply.details), *suggested_lengths]
        repeats = reply.code in EXCEPTIONS and errors[-_SAME_ERRORS:] == errors[-1:] * _SAME_ERRORS
        if reply.code not in (*_REFUSALS, *EXCEPTIONS) or repeats or says_not_ready(reply) or time.monotonic() > until:
            break
    assert best is not None
    session.requests.prefer(method, best[0])
    return best[1]


def hung(session: Session, reply: Reply) -> bool:
    """Whether no answer came in time. A server that answers DEADLINE_EXCEEDED at once did answer."""
    is_late = reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and not reply.messages
    return is_late and (reply.seconds > session.timeout / 2 or not session.left())


def _ask_as_stream(session: Session, method: Method, data: bytes) -> Reply | None:
    """The several messages of a server that streams where one message is expected; such a call never ends."""
    timeout = min(_STREAM_SECONDS, session.timeout)
    reply = session.client.call(method.path, data, timeout, stream=method.takes_stream, many=True)
    if len(reply.messages) < 2:
        return None
    return replace(reply, code=grpc.StatusCode.DEADLINE_EXCEEDED)  # as the call for one message ended
