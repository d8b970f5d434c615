"""What a caller gets: replies, and errors that say what is wrong with the request and nothing of the server."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from serving import PATIENCE, SERVICE, SERVING, Probe, Server, error_of, serving, violations

pytestmark = pytest.mark.each_transport

INVALID = grpc.StatusCode.INVALID_ARGUMENT
INTERNAL = grpc.StatusCode.INTERNAL
INTERNAL_TEXT = "the server failed to answer this request"


def send(server: Server, data: bytes, method: str = "Predict") -> bytes:
    reply: bytes = server.channel.unary_unary(f"/{SERVICE}/{method}")(data, timeout=PATIENCE)
    return reply


def test_a_request_is_answered(server: Server) -> None:
    reply = server.predict(21)
    assert reply.result == 42
    assert list(reply.vector) == pytest.approx([0.021, 0.5, 0])


def test_200_different_requests_at_once_get_the_answers_they_get_alone(server: Server) -> None:
    alone = {value: server.predict(value).SerializeToString() for value in range(200)}
    with ThreadPoolExecutor(50) as pool:
        together = dict(
            zip(alone, pool.map(lambda value: server.predict(value).SerializeToString(), alone), strict=True)
        )
    assert together == alone
    assert len(set(together.values())) == 200
    assert max(map(len, server.batches())) > 1  # they really were computed together


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 16,
        b"\x00",
        b"\x09\x00\x00",  # a double that is cut off
        b"\x12\xff\xff\xff\xff\x0f",  # a string of 4 GiB
        b"\x12\x02\xc3\x28",  # a string that is no UTF-8
        b"\x1a" * 5000,
        b"\x0b" * 10_000,  # groups in groups
        struct.pack("<I", 2**31) * 100,
    ],
)
def test_bytes_that_are_no_message_are_the_callers_fault(server: Server, data: bytes) -> None:
    error = error_of(lambda: send(server, data))
    assert (error.code(), error.details()) == (INVALID, "the bytes are not a valid probe.v1.PredictRequest")
    assert violations(error) == [("", "the bytes are not a valid probe.v1.PredictRequest")]
    assert server.predict(1).result == 2


def test_the_empty_message_lacks_every_field(server: Server) -> None:
    assert violations(error_of(lambda: send(server, b""))) == [("value", "is required"), ("mode", "is required")]


def test_all_violations_are_told_at_once_by_their_paths(server: Server) -> None:
    point = server.probe.messages["Point"]
    request = server.probe.messages["PredictRequest"](
        value=float("nan"), mode="x" * 30, points=[point(x=1), point(x=11), point()], near=point(x=99)
    )
    error = error_of(lambda: server.method("Predict")(request))
    assert error.code() is INVALID
    found = dict(violations(error))
    assert list(found) == ["value", "mode", "points[1].x", "points[2].x", "near.x"]
    assert found["points[1].x"] == "must be at most 10; got 11.0"
    assert error.details().startswith("value: ")
    assert "near.x: " in error.details()


def test_a_thousand_violations_still_fit_into_the_headers(server: Server) -> None:
    error = error_of(lambda: server.predict(mode="refuse much"))
    assert error.code() is INVALID
    size = sum(len(key) + len(value) * 4 / 3 + 32 for key, value in error.trailing_metadata())
    assert size + 3 * len(error.details().encode()) < 8000
    *told, (_, rest) = violations(error)
    assert len(told) > 5
    assert rest == f"and {1000 - len(told)} more"


def test_an_unknown_method_is_unimplemented(server: Server) -> None:
    assert error_of(lambda: send(server, b"", "Nothing")).code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_model_can_refuse_a_request(server: Server) -> None:
    error = error_of(lambda: server.predict(mode="refuse"))
    assert (error.code(), error.details()) == (INVALID, "mode: is not sold here")
    assert violations(error) == [("mode", "is not sold here")]


def test_the_model_can_refuse_with_any_status_code_but_ok(server: Server) -> None:
    text = "is sold out\\n" + "é" * 248 + "..."
    for code in grpc.StatusCode:
        error = error_of(lambda name=code.name: server.predict(mode=name))
        refused = (
            (code, text) if code is not grpc.StatusCode.OK else (INTERNAL, "the server failed to answer this request")
        )
        assert (error.code(), error.details()) == refused
        server.predict()
    for reason in (
        "the code must be one of ABORTED, ALREADY_",
        "refused with INTERNAL: is",
        "refused with UNAVAILABLE: is",
    ):
        server.log.wait(lambda line, reason=reason: line["level"] == "ERROR" and reason in line["message"])
    assert set(re.findall(r"refused with (\w+):", server.messages("ERROR"))) == {"INTERNAL", "UNAVAILABLE"}
    assert violations(error_of(lambda: server.predict(mode="INVALID_ARGUMENT"))) == [("", text)]
    replies = server.count(10, "NOT_FOUND")
    assert [next(replies).index for _ in range(3)] == [0, 1, 2]
    assert error_of(lambda: next(replies)).details() == "is sold out"


def test_only_unavailable_and_internal_are_failures_of_the_model(server: Server) -> None:
    server.predict()
    for code in ["NOT_FOUND"] * 4 + ["UNAVAILABLE"] * 3:
        error_of(lambda name=code: server.predict(703 if name == "UNAVAILABLE" else 1, name))
    *_, third = [index for index, batch in enumerate(server.batches()) if batch == [703.0]]
    sample = server.told.wait(lambda line: "batch" in line, count=third + 2)[-1]  # asked by the server after the third
    assert sample["batch"] == server.batches()[0]
    assert server.health() == SERVING


@pytest.mark.parametrize(
    ("mode", "raised"),
    [
        ("raise", "RuntimeError('secret of the house')"),
        ("leave", "SystemExit(3)"),
        ("odd", "SystemExit('no length')"),
    ],
)
def test_what_the_model_raises_is_for_the_log_only(server: Server, mode: str, raised: str) -> None:
    error = error_of(lambda: server.predict(mode=mode, metadata=[("x-request-id", f"the-{mode}-one")]))
    assert (error.code(), error.details()) == (INTERNAL, INTERNAL_TEXT)
    assert not any("secret" in str(item) for item in error.trailing_metadata())
    (line,) = server.log.wait(lambda line: line.get("request_id") == f"the-{mode}-one")
    assert raised in line["message"]
    assert 'File "' in line["error"]
    assert server.predict(1).result == 2


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("list", "reply: wanted PredictResponse, got list of 3"),
        ("missing", "result: wanted float64, got None"),
        ("shape", "vector: wanted float32 of shape (3,), got float32 of shape (2,)"),
        ("limit", "vector[2]: wanted float32 from 0 to 1, got 1.5"),
        ("none", "reply: wanted a sequence of 1, one for each request, got None"),
        ("few", "reply: wanted a sequence of 1, one for each request, got list of 0"),
        ("many", "reply: wanted a sequence of 1, one for each request, got list of 2"),
        ("generator", "reply: wanted a sequence of 1, one for each request, got <generator"),
    ],
)
def test_an_unfit_reply_is_told_to_the_author_and_not_to_the_caller(server: Server, mode: str, text: str) -> None:
    error = error_of(lambda: server.predict(mode=mode, metadata=[("x-request-id", f"unfit-{mode}")]))
    assert (error.code(), error.details()) == (INTERNAL, INTERNAL_TEXT)
    (line,) = server.log.wait(lambda line: line.get("request_id") == f"unfit-{mode}")
    assert text in line["message"]
    assert "error" not in line


@contextmanager
def batched(probe: Probe, modes: dict[float, str], **settings: str) -> Iterator[tuple[Server, dict[float, Any]]]:
    """A server that got these requests while its model was busy with another one, and their results or errors."""
    room = str(1 + len(modes))
    with serving(probe, MAX_IN_FLIGHT=room, MAX_IN_FLIGHT_PER_CONNECTION=room, **settings) as server:
        held = server.predict_soon(900, "wait")
        server.until_computing(900)
        calls = {value: server.predict_soon(value, mode) for value, mode in modes.items()}
        server.until_full()
        server.release()
        assert held.result().result == 1800
        for value in modes:
            server.until_computing(value)  # what the model prints may come later than its replies
        yield server, {value: call.exception() or call.result().result for value, call in calls.items()}


def test_a_bad_request_in_a_batch_fails_alone(probe: Probe) -> None:
    modes = {float(value): "plain" for value in range(16)} | {
        5.0: "raise",
        9.0: "ABORTED",
        11.0: "refuse",
        13.0: "shape",
    }
    with batched(probe, modes) as (server, results):
        assert set(modes) in map(set, server.batches())
        codes = {value: error.code() for value, error in results.items() if isinstance(error, grpc.RpcError)}
        assert codes == {5.0: INTERNAL, 9.0: grpc.StatusCode.ABORTED, 11.0: INVALID, 13.0: INTERNAL}
        assert all(result == value * 2 for value, result in results.items() if value not in codes)
        raised = [line["error"] for line in server.log.json() if "error" in line]
        assert len(raised) == 1  # once a request, not once a half
        assert "During handling" not in raised[0]


def test_too_few_replies_fail_the_batch_whose_rows_they_could_mix_up(probe: Probe) -> None:
    with batched(probe, {1.0: "plain", 2.0: "few", 3.0: "plain"}) as (server, results):
        assert {1.0, 2.0, 3.0} in map(set, server.batches())
        assert {error.code() for error in results.values()} == {INTERNAL}
        server.log.wait(lambda line: "wanted a sequence of 3, one for each request, got list of 2" in line["message"])


@pytest.mark.parametrize(
    ("setting", "most"),
    [({"MAX_BATCH_SIZE": "1"}, 1), ({"UNBATCHED_METHODS": "Echo, Predict"}, 1), ({"MAX_BATCH_SIZE": "2"}, 2)],
)
def test_batches_can_be_limited_and_turned_off(probe: Probe, setting: dict[str, str], most: int) -> None:
    with batched(probe, {1.0: "plain", 2.0: "plain", 3.0: "plain"}, **setting) as (server, results):
        assert max(map(len, server.batches())) == most
        assert results == {1.0: 2.0, 2.0: 4.0, 3.0: 6.0}


def test_more_than_the_limit_in_flight_is_refused_while_health_answers(probe: Probe) -> None:
    with serving(probe, MAX_IN_FLIGHT="3") as server:
        held = server.predict_soon(1, "spin")
        server.until_computing(1)
        waiting = [server.predict_soon(value) for value in (2, 3)]
        server.until_full()
        for _ in range(20):
            assert server.health() == server.health(SERVICE) == SERVING
            error = error_of(lambda: server.predict(4))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert error.details() == "3 requests are in flight already"
        (warning,) = server.messages("WARNING").splitlines()  # of 20; the next line comes 10 seconds later
        assert re.sub(r"\d\d:\d\d:\d\d", "TIME", warning) == (
            "requests refused since TIME UTC: 1 (RESOURCE_EXHAUSTED, above MAX_IN_FLIGHT=3)"
        )
        server.release()
        assert [call.result().result for call in (held, *waiting)] == [2, 4, 6]
        assert server.predict(5).result == 10


FLOOD = """\
import asyncio
from probe.server.core import admission

async def flood():
    refusals = admission.RefusalLog("MAX_IN_FLIGHT", 256)
    for _ in range(2):
        for count in (100, 20):
            for _ in range(count):
                refusals.add()
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.15)

admission.LOG_SECONDS = 0.1
asyncio.run(flood())
"""


def test_refusals_are_counted_in_the_log_and_do_not_flood_it(probe_project: Probe) -> None:
    lines = probe_project.python("-c", FLOOD).stderr.splitlines()
    assert [re.search(r"UTC: (\d+) \(", line)[1] for line in lines] == ["1", "119", "1", "119"]


def test_who_hangs_up_keeps_a_place_until_the_model_is_done(probe: Probe) -> None:
    """A count that dropped with the caller would let any number of requests pile up behind a slow one."""
    with serving(probe, MAX_IN_FLIGHT="1") as server:
        gone = server.predict_soon(1, "wait")
        server.until_computing(1)
        gone.cancel()
        assert error_of(lambda: server.predict(2)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        server.release()
        while (call := server.predict_soon(2)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass  # the model's thread has not yet answered the job that nobody waits for
        assert call.result().result == 4


def test_cancelled_and_expired_requests_are_not_computed(probe: Probe) -> None:
    with serving(probe, MAX_IN_FLIGHT="4", LOG_REQUESTS="true") as server:
        held = server.predict_soon(1, "wait")
        server.until_computing(1)
        cancelled, expired, kept = server.predict_soon(2), server.predict_soon(3, timeout=2), server.predict_soon(4)
        server.until_full()
        cancelled.cancel()
        assert expired.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        server.log.wait(lambda line: line.get("code") == "CANCELLED", count=2)
        server.release()
        assert (held.result().result, kept.result().result) == (2, 8)
        server.until_computing(4)
        assert server.batches()[-2:] == [[1.0], [4.0]]


def test_five_megabytes_are_welcome_where_the_contract_sets_no_bound(server: Server) -> None:
    text = "x" * 5_000_000
    echo = server.method("Echo")
    assert echo(server.probe.messages["EchoRequest"](text=text), timeout=PATIENCE).text == text


def test_the_size_of_a_request_has_a_limit(probe: Probe) -> None:
    with serving(probe, MAX_REQUEST_BYTES="1000") as server:
        echo, request = server.method("Echo"), probe.messages["EchoRequest"]
        assert echo(request(text="x" * 900)).text == "x" * 900
        assert error_of(lambda: echo(request(text="x" * 1100))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
