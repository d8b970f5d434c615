"""How a call can end, and what its caller and the log learn of an error."""

from collections.abc import Sequence
from enum import Enum, auto

from ...contract.violations import InvalidReply, InvalidRequest, Retired, Violation
from ..logs import logger
from ..remedies import remedy

MESSAGE_BYTES = 512


class Outcome(Enum):
    """How a call ends, by the names of google.rpc.Code. Each transport has a table from these to its own statuses.

    https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
    """

    OK = auto()
    CANCELLED = auto()
    INVALID_ARGUMENT = auto()
    DEADLINE_EXCEEDED = auto()
    RESOURCE_EXHAUSTED = auto()
    UNIMPLEMENTED = auto()
    UNAVAILABLE = auto()
    INTERNAL = auto()


class Failure(Exception):
    """The end of a call that has no reply. `message` and `violations` are for the caller: no internals in them."""

    def __init__(self, outcome: Outcome, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.outcome, self.message, self.violations = outcome, message, tuple(violations)


def failure_of(error: BaseException, method: str, request_id: str) -> Failure:
    """What the caller gets for an error. An error for the author to fix is logged, and its text kept back."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, InvalidRequest):
        return Failure(Outcome.INVALID_ARGUMENT, cut(str(error), MESSAGE_BYTES), error.violations)
    if isinstance(error, Retired):
        return Failure(Outcome.UNIMPLEMENTED, str(error))
    extra = {"method": method, "request_id": request_id}
    if isinstance(error, InvalidReply):
        logger.error("%s (request %s): %s is wrong: %s", method, request_id, error.subject, error, extra=extra)
    else:
        reason = "\n".join(filter(None, (repr(error), remedy(error))))
        logger.error("%s (request %s): %s", method, request_id, reason, exc_info=error, extra=extra)
    return Failure(Outcome.INTERNAL, "the server failed to answer this request")


def abandoned() -> Failure:
    """For a request that nobody waits for any more; seldom seen, since the caller has gone."""
    return Failure(Outcome.DEADLINE_EXCEEDED, "the deadline passed or the caller went away")


def cut(text: str, size: int) -> str:
    """At most `size` bytes of `text` in UTF-8."""
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= size else data[: size - 3].decode(errors="ignore") + "..."
