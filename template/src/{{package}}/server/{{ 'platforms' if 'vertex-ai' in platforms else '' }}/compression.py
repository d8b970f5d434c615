"""Compressed bodies, inflated in steps, so that a small one that becomes huge costs no more than what is allowed."""

import zlib
from collections.abc import Callable

STEP_BYTES = 2**16
MAX_MEMBERS = 1000  # of a gzip file; each holds something in files that compressors write
GZIP, ZLIB, RAW = 31, 15, -15  # zlib's names for the formats: https://docs.python.org/3/library/zlib.html
CODINGS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}


class TooLong(Exception):
    """More bytes come out than are allowed."""


def inflate(data: bytes, coding: str, max_bytes: int, check: Callable[[], None]) -> bytes:
    """What was compressed by a coding of CODINGS. `check` is called at each step, and may raise an error to end this.

    Raises TooLong, and ValueError with what is wrong with the data.
    """
    form = CODINGS[coding]
    if form == ZLIB and data[:1] and data[0] & 15 != zlib.DEFLATED:
        form = RAW  # which some clients send as deflate: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
    inflated, size, place, members = [], 0, 0, 0
    while place < len(data) or not members:
        members += 1
        if members > MAX_MEMBERS or (members > 1 and form != GZIP):
            raise ValueError("more follows where it should end")
        stream = zlib.decompressobj(form)
        pending = b""
        while not stream.eof:
            check()
            if not pending:
                pending = data[place : place + STEP_BYTES]
                place += len(pending)
            try:
                part = stream.decompress(pending, STEP_BYTES)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            if not (pending or part or stream.eof):
                raise ValueError("it ends too early")
            pending = stream.unconsumed_tail
            size += len(part)
            if size > max_bytes:
                raise TooLong
            inflated.append(part)
        place -= len(stream.unused_data)
    return b"".join(inflated)
