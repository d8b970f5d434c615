"""How the checks of bad input, deadlines, sizes and concurrency judge, without the servers of the zoo."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2

from protoserve.schema.load import load, loads
from protoserve.verify import interface, reply_diff
from protoserve.verify.address import Address
from protoserve.verify.checks import bad_input, deadline, message_size
from protoserve.verify.grpc_client import Reply
from protoserve.verify.report import Finding, Verdict
from protoserve.verify.sample_requests import Request, Requests
from protoserve.verify.session import Session
from zoo.process import running, verify

UNKNOWN, INTERNAL, INVALID = grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT
BOUNDED = Path(__file__).parents[1] / "zoo" / "bounded"


# Error texts as they are on the wire, whether the request parsed, and whether they show the server's inside.
TEXTS: list[tuple[grpc.StatusCode, str, bool, bool]] = [
    # gRPC Python
    (UNKNOWN, "Exception calling application: list index out of range", True, True),
    (UNKNOWN, "Exception iterating responses: 'model'", True, True),
    (UNKNOWN, "Unexpected <class 'ZeroDivisionError'>: division by zero", True, True),
    (INTERNAL, "Exception deserializing request!", False, False),
    (UNKNOWN, "Unexpected <class 'google.protobuf.message.DecodeError'>: Error parsing message", False, False),
    (INTERNAL, "Exception deserializing request!", True, False),
    # grpc-js 1.x, server.js and server-interceptors.js
    (UNKNOWN, "Server method handler threw error Cannot read properties of undefined (reading 'length')", True, True),
    (INTERNAL, "Error deserializing request: index out of range: 10 + 105 > 37", False, False),
    # by hand, in any language
    (INTERNAL, 'Traceback (most recent call last):\n  File "/app/server.py", line 3, in Predict', True, True),
    (INTERNAL, "Error: boom\n    at Object.predict (/srv/server.js:12:9)", True, True),
    (UNKNOWN, "java.lang.NullPointerException: features\n\tat com.acme.Model.predict(Model.java:41)", True, True),
    (UNKNOWN, "runtime error: index out of range [0] with length 0", True, True),
    (INTERNAL, "KeyError: 'height'", True, True),
    (INVALID, "cannot open /home/app/models/7.bin", True, True),
    (UNKNOWN, "'NoneType' object has no attribute 'predict'", True, True),
    # what callers should read
    (INVALID, "values: must have 4 items; got 0", True, False),
    (INVALID, "the bytes are not a valid zoo.v1.PredictRequest", False, False),
    (INTERNAL, "the server failed to answer this request", True, False),
    (UNKNOWN, "Exception was thrown by handler.", True, False),  # .NET, which keeps the rest to itself
    (grpc.StatusCode.UNIMPLEMENTED, "unknown method /zoo.v1.PredictionService/Predict", True, False),
    (INVALID, "ValueError is what you get for n/a", True, False),
]


@pytest.mark.parametrize(("code", "text", "message", "leaks"), TEXTS)
def test_what_shows_the_inside(code: grpc.StatusCode, text: str, message: bool, leaks: bool) -> None:
    assert (bad_input.revealed_internals(Reply(code, text, (), 0.0), message) is not None) == leaks


@pytest.mark.parametrize("size", [60, 100, 127, 128, 129, 135, 300, 16_384, 16_500, 5_000_000])
def test_a_padded_request_has_its_size_and_says_the_same(size: int) -> None:
    valid = struct_pb2.Value(string_value="a text").SerializeToString()
    padded = message_size.padded(valid, size)
    assert size - 1 <= len(padded) <= size  # a length just above 127 cannot fill each size
    read = struct_pb2.Value.FromString(padded)
    assert read.string_value == "a text"
    assert message_size.padded(valid, 3) == valid


def test_the_largest_request_is_what_clients_send() -> None:
    contract = load(BOUNDED / "schema.yaml")
    size = message_size.largest_request(contract, contract.methods[0].request)
    request = interface.from_project(BOUNDED).methods[0].request()
    request.height, request.weight, request.name = 1.0, 1.0, "\U0001f600" * 1000
    request.values.extend([1.0] * 2_000_000)
    assert size is not None
    assert request.ByteSize() <= size <= request.ByteSize() + 100
    fields = "{fields: [{name: text, type: string, number: 1}]}"
    methods = f"methods: {{Predict: {{request: {fields}, response: {fields}}}}}"
    open_ended = loads(f"package: a.v1\nservice: AService\n{methods}\n")
    assert message_size.largest_request(open_ended, open_ended.methods[0].request) is None


SIZES = {
    "SERVER: Received message larger than max (8001110 vs. 4194304)": "4.00 MiB",  # Python, C++
    "grpc: received message larger than max (8001110 vs. 4194304)": "4.00 MiB",  # Go
    "gRPC message exceeds maximum size 4194304: 8001110": "4.00 MiB",  # Java
    "Error, decoded message length too large: found 8001110 bytes, the limit is: 4194304 bytes": "4.00 MiB",  # tonic
    "Received message exceeds the maximum configured message size.": "limit for one message is",  # .NET
    "Received http2 header with status: 413": "limit for one message is",
    "SERVER: Sent message larger than max (8001110 vs. 4194304)": "reply is larger",
}


def scripted(answer: Callable[[str, int], tuple[grpc.StatusCode, float, str]]) -> Session:
    """A session whose server answers as `answer(path, number of call)` says: status, seconds that it takes, details."""
    numbers = itertools.count(1)

    def start(path: str, data: bytes, timeout: float, **kind: bool) -> Any:
        code, seconds, details = answer(path, next(numbers))
        if seconds > timeout:
            code, seconds = grpc.StatusCode.DEADLINE_EXCEEDED, timeout
        reply = Reply(code, details, (b"",) if code is grpc.StatusCode.OK else (), seconds)
        done_at = time.monotonic() + min(seconds, 0.2)
        return SimpleNamespace(reply=lambda: reply, done=lambda: time.monotonic() > done_at)

    client: Any = SimpleNamespace(start=start, call=lambda *call: start(*call).reply())
    session = Session(Address("127.0.0.1", 50051), client, timeout=20.0, ends=time.monotonic() + 40.0)
    session.interface = interface.from_project(BOUNDED)
    session.requests = Requests(session.interface, {m.path: Request(b"\x09" + bytes(8), "") for m in session.methods})
    session.replies = {method.path: Reply(grpc.StatusCode.OK, "", (b"",), 0.001) for method in session.methods[:1]}
    return session


@pytest.mark.parametrize("text", SIZES)
def test_how_servers_refuse_a_size(text: str) -> None:
    def answer(path: str, call: int) -> tuple[grpc.StatusCode, float, str]:
        return (grpc.StatusCode.OK, 0.0, "") if call == 1 else (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.0, text)

    finding = message_size.run(scripted(answer))
    assert finding.verdict is Verdict.FAIL
    assert SIZES[text] in finding.cause


USUAL, LATE = 0.2, 5.0


def after_expired(late: float, control: float, together: float, held_up: int = 0) -> Finding:
    """The finding of `deadline` for a server that takes `late` seconds to answer the call after the expired ones.

    The first `held_up` calls after that one take a second more, as on a busy machine.
    """
    normal = 2 + deadline._REPEATS + deadline._call_count(USUAL) + 1

    def answer(path: str, call: int) -> tuple[grpc.StatusCode, float, str]:
        if "Nothing" in path:
            return grpc.StatusCode.UNIMPLEMENTED, control, "Method not found!"
        if call <= normal:
            return grpc.StatusCode.OK, late if call == normal else USUAL, ""
        return grpc.StatusCode.OK, together + (call <= normal + held_up), ""

    return deadline.run(scripted(answer))


def test_a_late_answer_is_a_fault_only_where_calls_wait_in_a_queue() -> None:
    assert after_expired(late=0.3, control=0.0, together=USUAL).verdict is Verdict.PASS
    assert after_expired(late=LATE, control=0.001, together=USUAL).verdict is Verdict.FAIL
    assert after_expired(late=LATE, control=0.001, together=USUAL, held_up=10).verdict is Verdict.FAIL
    shared = after_expired(late=LATE, control=0.001, together=4 * USUAL)
    assert shared.verdict is Verdict.PASS
    assert "finishes what it has begun" in shared.seen
    blocked = after_expired(late=LATE, control=1.0, together=USUAL)
    assert blocked.verdict is Verdict.SKIP
    assert "health-honest" in blocked.seen


def test_floats_of_another_batch_are_the_same_and_others_are_not() -> None:
    assert reply_diff.same(0.5, 0.5001)
    assert reply_diff.same(0.0, 1e-7)
    assert reply_diff.same(float("nan"), float("nan"))
    assert not reply_diff.same(0.5, 0.51)
    assert not reply_diff.same(7, 8)
    assert not reply_diff.same("high", "low")
    assert reply_diff.same(struct.pack("<3f", 0.1, 0.2, 3), struct.pack("<3f", 0.10001, 0.2, 3))
    assert not reply_diff.same(struct.pack("<3f", 0.1, 0.2, 3), struct.pack("<3f", 0.2, 0.1, 3))
    assert not reply_diff.same(b"a picture...", b"b picture...")


def test_answers_that_change_by_themselves_are_not_compared() -> None:
    with running("random-answers") as port:
        code, report = verify(f"127.0.0.1:{port}", "--only", "concurrency")
    finding = next(check for check in report["checks"] if check["id"] == "concurrency")
    assert code == 0
    assert "Predict: answers are not deterministic" in finding["seen"]


def test_refused_overload_is_reported() -> None:
    with running("refuses-overload") as port:
        _, report = verify(f"127.0.0.1:{port}", "--only", "concurrency")
    finding = next(check for check in report["checks"] if check["id"] == "concurrency")
    assert finding["verdict"] == "pass"
    assert " 0 refused" not in finding["seen"]
