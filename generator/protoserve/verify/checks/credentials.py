"""Servers that answer only callers with credentials: what shows that, and what verify needs to judge them."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from protoserve.verify import error_texts
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, unjudged, warned
from protoserve.verify.session import Session

REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
HTTP_REFUSALS = (401, 403)
# With these codes a server may also refuse a call for the metadata that it lacks.
_OTHER_REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
)


def are_missing(method: Method, reply: Reply) -> bool:
    """Whether the method refuses its caller, and not the request: it asks for credentials, or for metadata."""
    if reply.code in REFUSALS:
        return True
    match = error_texts.ABOUT_METADATA.search(reply.details) if reply.code in _OTHER_REFUSALS else None
    return match is not None and match[0].lower() not in {field.name.lower() for field in method.input.fields}


def give(session: Session) -> str:
    """What a user can give so that the server answers."""
    if not session.metadata.pairs:
        return (
            "Give it what a caller sends with --metadata KEY=VALUE, such as --metadata authorization=env:TOKEN, which "
            "takes the value from the variable TOKEN."
        )
    keys = ", ".join(dict.fromkeys(key for key, _ in session.metadata.pairs))
    return f"The server does not accept what --metadata sends ({keys}): give another value, or the key that it reads."


def all_refused(session: Session, methods: Sequence[Method]) -> Finding:
    """No reply can be judged, since these methods refuse the caller."""
    names: dict[str, list[str]] = {}  # by what they answer
    for method in methods:
        answer = str(session.replies[method.path]).rpartition(" after ")[0]
        names.setdefault(answer, []).append(method.name)
    answers = "; ".join(
        f"{', '.join(some)} {'answers' if len(some) == 1 else 'answer'} {answer}" for answer, some in names.items()
    )
    return unjudged(f"{answers}: the server asks its callers for {_what(session, methods)}", give(session))


def some_refused(session: Session, method: Method) -> Finding:
    """The method refuses the caller, while the reply of another one could be judged."""
    return warned(
        f"{method.path}: {session.replies[method.path]}",
        f"{method.name} asks its callers for {_what(session, [method])}, so that its reply could not be judged.",
        give(session),
    )


def _what(session: Session, methods: Sequence[Method]) -> str:
    """What the server asks for: more than the status shows, only if its text says so."""
    by_code = any(session.replies[method.path].code in REFUSALS for method in methods)
    return wanted(session, "credentials" if by_code else "metadata")


def wanted(session: Session, what: str) -> str:
    """`what` (credentials or metadata) the server asks for, and whether verify sent any."""
    return f"other {what} than those of --metadata" if session.metadata.pairs else f"{what}, and verify sent none"
