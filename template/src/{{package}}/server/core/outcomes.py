"""How a call can end, and what its caller and the log learn of an error."""

from collections.abc import Sequence
from enum import Enum, auto

from ...contract.violations import InvalidReply, InvalidRequest, ModelBroken, RequestRefused, Retired, Violation
from ..logs import logger
from ..remedies import remedy
from ..texts import cut, escaped
from ..tracebacks import described, safely, text_of

MESSAGE_BYTES = 512
CANNOT_ANSWER = "the model cannot answer at the moment"  # for callers, whatever the reason
FAILED = "the server failed to answer this request"


class Outcome(Enum):
    """How a call ends, by the names of google.rpc.Code. Each transport has a table from these to its own statuses.

    https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
    """

    OK = auto()
    CANCELLED = auto()
    UNKNOWN = auto()
    INVALID_ARGUMENT = auto()
    DEADLINE_EXCEEDED = auto()
    NOT_FOUND = auto()
    ALREADY_EXISTS = auto()
    PERMISSION_DENIED = auto()
    UNAUTHENTICATED = auto()
    RESOURCE_EXHAUSTED = auto()
    FAILED_PRECONDITION = auto()
    ABORTED = auto()
    OUT_OF_RANGE = auto()
    UNIMPLEMENTED = auto()
    INTERNAL = auto()
    UNAVAILABLE = auto()
    DATA_LOSS = auto()


MODEL_FAILED = (Outcome.INTERNAL, Outcome.UNAVAILABLE)


class Failure(Exception):
    """The end of a call that has no reply.

    `message` and `violations` are for the caller: no internals in them. `reason` is for the log, and empty where the
    author has nothing to fix.
    """

    def __init__(
        self, outcome: Outcome, message: str, violations: Sequence[Violation] = (), *, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.outcome, self.message, self.violations, self.reason = outcome, message, tuple(violations), reason

    @property
    def is_the_models(self) -> bool:
        """Whether the model failed, rather than its caller."""
        return self.outcome in MODEL_FAILED


class Broken(Failure):
    """The model says of itself that it cannot answer, in `words`, which are for callers and escaped."""

    def __init__(self, words: str, *, reason: str = "") -> None:
        message = f"the model is broken: {words}" if words else CANNOT_ANSWER
        super().__init__(Outcome.UNAVAILABLE, message, reason=reason)
        self.words = words


class Abandoned(Failure):
    """For a request that nobody waits for any more; seldom seen, since the caller has gone."""

    def __init__(self) -> None:
        super().__init__(Outcome.DEADLINE_EXCEEDED, "the deadline passed or the caller went away")


def failure_of(error: BaseException, method: str, request_id: str) -> Failure:
    """What the caller gets for an error. An error for the author to fix is logged, and its text kept back."""
    failure = classify(error)
    if failure.reason and failure is not error:
        extra = {"method": method, "request_id": request_id}
        traceback = None if isinstance(error, InvalidReply) else error  # which says where the code is that checks
        logger.error("%s (request %s): %s", method, request_id, failure.reason, exc_info=traceback, extra=extra)
    return failure


def classify(error: BaseException) -> Failure:
    """What an error means for the caller, and for the log, even if the error's own code fails at saying it."""
    try:
        return _classified(error)
    except BaseException:
        return Failure(Outcome.INTERNAL, FAILED, reason=described(error))


def _classified(error: BaseException) -> Failure:
    if isinstance(error, Failure):
        return error
    if isinstance(error, InvalidRequest):
        return Failure(Outcome.INVALID_ARGUMENT, cut(text_of(error), MESSAGE_BYTES), error.violations)
    if isinstance(error, RequestRefused):
        return _refused(error)
    if isinstance(error, Retired):
        return Failure(Outcome.UNIMPLEMENTED, text_of(error))
    if isinstance(error, InvalidReply):
        reason = f"{error.subject} is wrong: {text_of(error)}"
    else:
        reason = "\n".join(filter(None, (described(error), safely(lambda: remedy(error), ""))))
    if isinstance(error, ModelBroken):
        return Broken(escaped(text_of(error), MESSAGE_BYTES), reason=reason)
    return Failure(Outcome.INTERNAL, FAILED, reason=reason)


def _refused(error: RequestRefused) -> Failure:
    """With the model's own words for the caller; the log has them where the code says that the model failed."""
    outcome, text = Outcome[error.code], escaped(text_of(error), MESSAGE_BYTES)
    violations = [Violation("", text)] if outcome is Outcome.INVALID_ARGUMENT else []
    reason = f"the model refused with {error.code}: {text}" if outcome in MODEL_FAILED else ""
    return Failure(outcome, text, violations, reason=reason)
