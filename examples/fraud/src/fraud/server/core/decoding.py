"""Decoding: what it costs is counted before it is paid, and no request holds up health or the others.

A simple request is decoded on the event loop, or in a thread if it is large. One with many elements takes time even if
it is small, so these are decoded in a thread of their own, one after the other.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ...contract.counting import Count
from ...contract.methods import Method
from .memory import Reservation
from .outcomes import Failure, Outcome

R = TypeVar("R")

TINY_REQUEST = 2**10  # bytes, which are decoded in a millisecond or two whatever they are
LARGE_REQUEST = 2**16  # bytes, whose decoding takes so long that health should not wait for it
FEW_ELEMENTS = 1024  # which are decoded in a few milliseconds
ELEMENT_BYTES = 256  # of memory that an element takes, more or less, until its request is answered
LARGE_THREADS = 2  # more would make the event loop wait for the interpreter's lock


class Decoder:
    """Turns the bytes of requests into what the model gets; `max_elements` is the most that one may have."""

    def __init__(self, max_elements: int) -> None:
        self._max_elements = max_elements
        self._large = ThreadPoolExecutor(LARGE_THREADS, "decoding")
        self._many = ThreadPoolExecutor(1, "decoding-many")

    async def decode(self, method: Method, data: bytes, memory: Reservation) -> object:
        """The request in `data`; `memory` has its bytes, and grows by its elements. Raises Failure and InvalidRequest.

        When this is cancelled, the count stops, and what waits for its turn is not decoded.
        """
        if len(data) < TINY_REQUEST:
            return method.decode(data)
        count = method.count(data)
        try_simple = partial(_decode_simple, method, data, count)
        request = try_simple() if len(data) < LARGE_REQUEST else await _in_thread(self._large, try_simple)
        if request is not None:
            return request
        await self._count(count)
        memory.grow(count.elements * ELEMENT_BYTES)
        return await _in_thread(self._many, partial(method.decode, data))

    async def _count(self, count: Count) -> None:
        """Counts to the end; raises Failure for more elements than a request may have."""
        stop = threading.Event()
        try:
            await _in_thread(self._many, partial(self._count_all, count, stop))
        finally:
            stop.set()

    def _count_all(self, count: Count, stop: threading.Event) -> None:
        more = True
        while more and not stop.is_set():
            more = count.step()
            if count.elements > self._max_elements:
                text = f"the request has more than {self._max_elements} elements (MAX_REQUEST_ELEMENTS)"
                raise Failure(Outcome.RESOURCE_EXHAUSTED, text)


def _decode_simple(method: Method, data: bytes, count: Count) -> object | None:
    """The request if it has few elements, else None; `count` has begun then."""
    if count.step() or count.elements > FEW_ELEMENTS:
        return None
    return method.decode(data)


async def _in_thread(threads: ThreadPoolExecutor, function: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(threads, function)
