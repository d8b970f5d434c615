"""What the server reads of a call's metadata, which every transport has as pairs of a key and a value."""

from collections.abc import Iterable


def caller_request_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The request id that the caller gave; empty if it gave none."""
    for key, value in metadata:
        if key == "x-request-id":
            return str(value)
    return ""
