"""Decoding: what it costs is counted before it is paid, and no request holds up health or the others.

A simple request is decoded by whoever brings it, or in a thread if it is large. One with many elements takes time even
if it is small, so these are decoded in a thread of their own, one after the other.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ...contract.counting import Count
from ...contract.methods import Method
from .memory import Reservation
from .outcomes import Abandoned, Failure, Outcome

TINY_REQUEST = 2**10  # bytes, which are decoded in a millisecond or two whatever they are
LARGE_REQUEST = 2**16  # bytes, whose decoding takes so long that health should not wait for it
FEW_ELEMENTS = 1024  # which are decoded in a few milliseconds
ELEMENT_BYTES = 256  # of memory that an element takes, more or less, until its request is answered
LARGE_THREADS = 2  # more would make the event loop wait for the interpreter's lock


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who wants a decoded request: one of `on_request` and `on_error` is called once, on any thread.

    `on_error` gets Failure, InvalidRequest, or what else decoding raised. If `is_cancelled`, nobody waits any more: the
    elements are not counted to the end, and the request is not decoded.
    """

    on_request: Callable[[object], object]
    on_error: Callable[[Exception], object]
    is_cancelled: Callable[[], bool]


class Decoder:
    """Turns the bytes of requests into what the model gets; `max_elements` is the most that one may have."""

    def __init__(self, max_elements: int) -> None:
        self._max_elements = max_elements
        self._large = ThreadPoolExecutor(LARGE_THREADS, "decoding")
        self._many = ThreadPoolExecutor(1, "decoding-many")

    def decode(self, method: Method, data: bytes, memory: Reservation, receiver: Receiver) -> None:
        """Decodes `data` for the receiver, at once or in a thread; `memory` has its bytes and grows by its elements."""
        if len(data) < LARGE_REQUEST:
            self._decode_simple(method, data, memory, receiver)
        else:
            self._large.submit(self._decode_simple, method, data, memory, receiver)

    def _decode_simple(self, method: Method, data: bytes, memory: Reservation, receiver: Receiver) -> None:
        """Leaves a request with many elements to the thread for those."""
        try:
            if len(data) >= TINY_REQUEST:
                count = method.count(data)
                if count.step() or count.elements > FEW_ELEMENTS:
                    self._many.submit(self._decode_many, method, data, count, memory, receiver)
                    return
            request = method.decode(data)
        except Exception as error:
            receiver.on_error(error)
        else:
            receiver.on_request(request)

    def _decode_many(self, method: Method, data: bytes, count: Count, memory: Reservation, receiver: Receiver) -> None:
        """Decodes a request whose count has begun."""
        try:
            self._count_all(count, receiver)
            memory.grow(count.elements * ELEMENT_BYTES)
            request = method.decode(data)
        except Exception as error:
            receiver.on_error(error)
        else:
            receiver.on_request(request)

    def _count_all(self, count: Count, receiver: Receiver) -> None:
        """Counts to the end; raises Failure for more elements than a request may have."""
        more = True
        while more:
            if receiver.is_cancelled():
                raise Abandoned()
            more = count.step()
            if count.elements > self._max_elements:
                text = f"the request has more than {self._max_elements} elements (MAX_REQUEST_ELEMENTS)"
                raise Failure(Outcome.RESOURCE_EXHAUSTED, text)
