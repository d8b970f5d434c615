"""What a caller is told when a request has no reply, and what of it the log gets."""

import grpc
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from .. import contract
from .logs import logger

DROPPED = (grpc.StatusCode.DEADLINE_EXCEEDED, "nobody waits for the reply any more")


class Failure(Exception):
    """How a request ends that gets no reply: a gRPC status, which says nothing of the server's insides."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        super().__init__(details)
        self.code, self.details, self.metadata = code, details, metadata


def failure(error: BaseException, method: str, request_id: str) -> Failure:
    """What the caller gets for an error on the way to the reply; what the caller must not see is logged."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, contract.InvalidRequest):
        return _invalid(error)
    if isinstance(error, contract.Retired):
        return Failure(grpc.StatusCode.UNIMPLEMENTED, str(error))
    extra = {"method": method, "request_id": request_id}
    if isinstance(error, contract.InvalidReply):
        logger.error("%s (request %s): %s is wrong: %s", method, request_id, error.subject, error, extra=extra)
    else:
        logger.error("%s (request %s): %r", method, request_id, error, exc_info=error, extra=extra)
    return Failure(grpc.StatusCode.INTERNAL, "the server failed to answer this request")


def _invalid(error: contract.InvalidRequest) -> Failure:
    """INVALID_ARGUMENT with a `google.rpc.BadRequest` of all violations that fit into 8 KiB of headers, encoded."""
    bad = BadRequest()
    for number, violation in enumerate(error.violations):
        field, description = _cut(violation.field, 256), _cut(violation.description, 512)
        bad.field_violations.add(field=field, description=description)
        if bad.ByteSize() > 3072:
            bad.field_violations.pop()
            bad.field_violations.add(description=f"and {len(error.violations) - number} more")
            break
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=_cut(str(error), 512))
    status.details.add().Pack(bad)
    return Failure(grpc.StatusCode.INVALID_ARGUMENT, status.message, rpc_status.to_status(status).trailing_metadata)


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of `text` in UTF-8."""
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= size else data[: size - 3].decode(errors="ignore") + "..."
