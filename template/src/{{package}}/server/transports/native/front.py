"""Calls as pygrpc-native receives them, on their way to the core and back. No event loop takes part in it.

One thread receives what has arrived and brings it to the core. Replies leave from the thread in which they are known,
which is the model's for what the model computed.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import cast

from google.rpc.code_pb2 import Code
from pygrpc_native import EVENT_CALL, NativeGrpcFront

from ....contract.methods import Method
from ...core.calls import Call, Calls, deadline_in
from ...core.connections import ConnectionLimit
from ...core.exchanges import Results, UnaryExchange
from ...core.outcomes import Failure, Outcome
from ...exits import end_now
from ...settings import Settings
from ...tracebacks import described
from ..metadata import caller_request_id
from ..status_details import bad_request
from .received_bytes import ReceivedBytes
from .streams import Sender, StreamCall

CODES: Mapping[Outcome, int] = {outcome: Code.Value(outcome.name) for outcome in Outcome}
EVENTS_AT_ONCE = 64
LAST_STATUS_SECONDS = 0.1  # for statuses to leave before their connections end
STOPPING = Failure(Outcome.UNAVAILABLE, "Cancelling all calls")  # in the words of gRPC's own server

CallDetails = tuple[Sequence[tuple[str, str | bytes]], str, float | None]
"""A call's metadata, its peer, and the seconds until its deadline."""


class UnaryCall:
    """A call of a unary method, until it has its reply or nobody waits for one."""

    __slots__ = ("_front", "call", "connection", "exchange", "id")

    def __init__(self, front: "Front", call_id: int, call: Call, connection: str, method: Method, deadline: float):
        self._front, self.id, self.call, self.connection = front, call_id, call, connection
        self.exchange = UnaryExchange(
            method=method, request_ids=(call.request_id,), deadline=deadline, on_end=self._end
        )

    def _end(self, results: Results | Exception) -> None:
        """On any thread, once, unless the call was cancelled."""
        result = results if isinstance(results, Exception) else results[0]
        if isinstance(result, bytes):
            if self._front.native.respond(self.id, result):
                self.call.succeeded()
        else:
            self._front.refuse(self.id, self.call, result)
        self._front.close(self)

    def cancel(self) -> None:
        """Nobody waits for the reply any more."""
        if self._front.exchanges.cancel(self.exchange):
            self._front.close(self)


class Front:
    """The methods of the contract on one port. Made on the event loop; `native` has bound the port by then.

    `native` must have been made with `methods`, in this order, and with `call_details`.
    """

    def __init__(self, native: NativeGrpcFront, methods: Sequence[Method], calls: Calls, settings: Settings) -> None:
        self.native = native
        self.exchanges = calls.exchanges
        self.received = ReceivedBytes(native.bound_port, settings.max_in_flight_bytes)
        self._methods, self._calls = methods, calls
        self._max_request_bytes = settings.max_request_bytes
        self._limit = ConnectionLimit(settings.max_in_flight_per_connection)
        self.sender = Sender(settings.stream_idle_seconds)
        self._open: dict[int, UnaryCall | StreamCall] = {}

    def start(self) -> None:
        """Begins to answer."""
        self.native.start()
        self.sender.start()
        self.received.start()
        threading.Thread(target=self._receive, name="receiving", daemon=True).start()

    def stop(self) -> None:
        """Ends the calls that are still open, then all connections. Takes up to some seconds, in any thread."""
        open_calls = list(self._open.values())
        for open_call in open_calls:
            self.native.fail(open_call.id, CODES[STOPPING.outcome], STOPPING.message)
            open_call.cancel()
        if open_calls:
            time.sleep(LAST_STATUS_SECONDS)
        self.native.close()

    def refuse(self, call_id: int, call: Call, error: Exception) -> None:
        """Ends a call without a reply."""
        failure = call.failed(error)
        details = bad_request(failure) if failure.outcome is Outcome.INVALID_ARGUMENT else None
        self.native.fail(call_id, CODES[failure.outcome], failure.message, details)

    def close(self, open_call: "UnaryCall | StreamCall") -> None:
        """A call has its reply, or needs none."""
        self._open.pop(open_call.id, None)
        self._limit.leave(open_call.connection)
        self._calls.admission.leave()
        open_call.call.end()

    def _receive(self) -> None:
        """Brings calls to the core until the end of the server."""
        try:
            while (events := self.native.recv_batch_details(EVENTS_AT_ONCE)) is not None:
                for kind, call_id, method_id, data, connection, details in events:
                    if kind == EVENT_CALL:
                        self._take(call_id, self._methods[method_id], cast(bytes, data), str(connection), details)
                    else:
                        self._cancel(call_id)
        except BaseException as error:
            end_now(1, f"the thread that receives calls broke: {described(error)}")  # it must not look alive

    def _take(self, call_id: int, method: Method, data: bytes, connection: str, details: CallDetails | None) -> None:
        """One call, with the bytes of its request."""
        assert details is not None
        metadata, _, seconds = details
        self.received.arrived(connection, len(data))
        call = self._calls.start(method.label, caller_request_id(metadata))
        try:
            self._admit(connection, len(data))
        except Failure as failure:
            self.refuse(call_id, call, failure)
            call.end()
            return
        make = StreamCall if method.streaming else UnaryCall
        open_call = make(self, call_id, call, connection, method, deadline_in(seconds))
        self._open[call_id] = open_call
        self.exchanges.begin(open_call.exchange, data)

    def _admit(self, connection: str, size: int) -> None:
        """Counts a call until `close`; raises Failure if it is refused."""
        if size > self._max_request_bytes:
            text = f"SERVER: Received message larger than max ({size} vs. {self._max_request_bytes})"
            raise Failure(Outcome.RESOURCE_EXHAUSTED, text)
        self._calls.admission.enter()
        try:
            self._limit.enter(connection)
        except Failure:
            self._calls.admission.leave()
            raise

    def _cancel(self, call_id: int) -> None:
        open_call = self._open.get(call_id)
        if open_call is not None:
            open_call.cancel()
