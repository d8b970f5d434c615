"""A failure's violations as gRPC carries them: a `google.rpc.BadRequest` in the details of the status.

https://grpc.io/docs/guides/error/#richer-error-model
"""

from google.rpc.code_pb2 import INVALID_ARGUMENT
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from ..core.outcomes import Failure
from ..texts import cut

FIELD_BYTES = 256
DESCRIPTION_BYTES = 512
DETAILS_BYTES = 3072  # with the message, and encoded in base64, they must fit into 8 KiB of headers


def bad_request(failure: Failure) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata with as many violations as fit, and how many more there are."""
    bad = BadRequest()
    for number, violation in enumerate(failure.violations):
        field, description = cut(violation.field, FIELD_BYTES), cut(violation.description, DESCRIPTION_BYTES)
        bad.field_violations.add(field=field, description=description)
        if bad.ByteSize() > DETAILS_BYTES:
            bad.field_violations.pop()
            bad.field_violations.add(description=f"and {len(failure.violations) - number} more")
            break
    status = Status(code=INVALID_ARGUMENT, message=failure.message)
    status.details.add().Pack(bad)
    metadata: tuple[tuple[str, str | bytes], ...] = rpc_status.to_status(status).trailing_metadata
    return metadata
