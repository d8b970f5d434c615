"""What a caller is told when a request has no reply, and what of it the log gets."""

import grpc
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from .. import contract
from .logs import logger

# Peers accept 8 KiB of headers by default. There text can take three times its bytes, and details a third more.
TEXT_BYTES, DETAILS_BYTES, FIELD_BYTES, DESCRIPTION_BYTES = 512, 3072, 256, 512


class Failure(Exception):
    """How a request ends that gets no reply: a gRPC status, which says nothing of the server's insides."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        super().__init__(details)
        self.code, self.details, self.metadata = code, details, metadata


def dropped() -> Failure:
    return Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "nobody waits for the reply any more")


def failure(error: BaseException, method: str, request_id: str) -> Failure:
    """What the caller gets for an error on the way to the reply; what the caller must not see is logged."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, contract.InvalidRequest):
        return _invalid(error)
    extra = {"method": method, "request_id": request_id}
    if isinstance(error, contract.InvalidReply):
        logger.error("%s (request %s): the model's reply is unfit: %s", method, request_id, error, extra=extra)
    else:
        logger.error("%s (request %s): %r", method, request_id, error, exc_info=error, extra=extra)
    return Failure(grpc.StatusCode.INTERNAL, "the server failed to answer this request")


def _invalid(error: contract.InvalidRequest) -> Failure:
    """INVALID_ARGUMENT with all violations as `google.rpc.BadRequest`, as far as they fit into the headers."""
    bad, room = BadRequest(), DETAILS_BYTES
    for number, violation in enumerate(error.violations):
        field, description = _cut(violation.field, FIELD_BYTES), _cut(violation.description, DESCRIPTION_BYTES)
        room -= len(field) + len(description) + 8
        if room < 0:
            bad.field_violations.add(description=f"and {len(error.violations) - number} more")
            break
        bad.field_violations.add(field=field, description=description)
    lines = [f"{item.field}: {item.description}".removeprefix(": ") for item in bad.field_violations]
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=_cut("; ".join(lines), TEXT_BYTES))
    status.details.add().Pack(bad)
    return Failure(grpc.StatusCode.INVALID_ARGUMENT, status.message, rpc_status.to_status(status).trailing_metadata)


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of `text` in UTF-8."""
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= size else data[: size - 3].decode(errors="ignore") + "..."
