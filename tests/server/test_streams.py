"""Methods that answer with a stream: in order, beside others, bounded, and closed when nobody listens."""

from __future__ import annotations

import threading
from itertools import islice

import grpc
import pytest

from serving import Probe, Server, error_of, serving, violations

pytestmark = pytest.mark.each_transport


def taken(call: object) -> tuple[list[int], grpc.RpcError | None]:
    """What a stream gave, and how it ended."""
    replies: list[int] = []
    try:
        for reply in call:  # type: ignore[attr-defined]
            replies.append(reply.index)
    except grpc.RpcError as error:
        return replies, error
    return replies, None


def test_a_stream_has_every_reply_in_order(server: Server) -> None:
    assert taken(server.count(500)) == (list(range(500)), None)
    assert taken(server.count(0)) == ([], None)


def test_the_warm_up_takes_three_of_an_endless_stream_and_closes_it(probe: Probe) -> None:
    with serving(probe) as server:
        server.told.wait(lambda line: line == {"closed": "plain"})
        indices = [line["index"] for line in server.told.json() if line.get("stream") == "plain"]
        assert indices[:3] == [0, 1, 2]
        assert len(indices) <= 3 + 16


@pytest.mark.parametrize(
    ("mode", "code", "text"),
    [
        ("unfit", grpc.StatusCode.INTERNAL, "index: wanted int"),
        ("raise", grpc.StatusCode.INTERNAL, "secret of the house"),
        ("no iterator", grpc.StatusCode.INTERNAL, "'NoneType' object is not iterable"),
        ("refuse", grpc.StatusCode.INVALID_ARGUMENT, None),
    ],
)
def test_a_failing_stream_ends_after_its_good_replies(
    server: Server, mode: str, code: grpc.StatusCode, text: str | None
) -> None:
    replies, error = taken(server.count(10, mode))
    assert replies == ([] if mode == "no iterator" else [0, 1, 2])
    assert error is not None
    assert error.code() is code
    assert "secret" not in error.details()
    if text is None:
        assert violations(error) == [("mode", "is not sold here")]
    else:
        server.log.wait(lambda line: text in line["message"] and line["method"] == "v1.Count")
    if mode != "no iterator":
        server.told.wait(lambda line: line == {"closed": mode})


def test_streams_and_requests_take_turns(server: Server) -> None:
    """One stream has no end, and its client takes all that it gets: whoever waited for it would wait for ever."""
    endless = server.count(10**9, "endless")
    reader = threading.Thread(target=taken, args=(endless,))
    reader.start()
    server.told.wait(lambda line: line.get("stream") == "endless", count=20)
    assert taken(server.count(100, "short")) == (list(range(100)), None)
    assert server.predict(5).result == 10
    steps = [line["stream"] for line in server.told.json() if line.get("stream") in ("endless", "short")]
    meanwhile = steps[steps.index("short") : -1 - steps[::-1].index("short")]
    assert meanwhile.count("endless") > 20
    endless.cancel()
    reader.join()
    server.told.wait(lambda line: line == {"closed": "endless"})


def test_a_stream_that_nobody_reads_does_not_run_ahead_for_ever(server: Server) -> None:
    """The network takes some megabytes, the server 16 replies; then the model stops until the client reads on."""

    def made_while_the_model_could() -> int:
        for value in range(200):
            server.predict(value)
        return len([line for line in server.told.json() if line.get("stream") == "heavy"])

    unread = server.count(10**9, "heavy")
    assert next(unread).index == 0
    made = made_while_the_model_could()
    assert made == made_while_the_model_could() < 180
    assert [reply.index for reply in islice(unread, 200)] == list(range(1, 201))
    unread.cancel()
    server.told.wait(lambda line: line == {"closed": "heavy"})


@pytest.mark.parametrize("how", ["cancel", "deadline", "channel"])
def test_who_hangs_up_closes_the_models_generator(probe: Probe, how: str) -> None:
    with serving(probe) as server:
        stream = server.count(10**9, "gone", timeout=1 if how == "deadline" else 30)
        assert next(stream).index == 0
        if how == "cancel":
            stream.cancel()
        elif how == "channel":
            server.channel.close()
        else:
            assert error_of(lambda: list(stream)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        server.told.wait(lambda line: line == {"closed": "gone"})
        server.terminate()
        assert server.ended() == 0
        assert server.messages("ERROR") == ""


def test_a_stream_keeps_its_place_among_those_in_flight(probe: Probe) -> None:
    with serving(probe, MAX_IN_FLIGHT="1") as server:
        stream = server.count(10, "wait")
        assert [reply.index for reply in islice(stream, 2)] == [0, 1]
        assert error_of(server.predict).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        server.release()
        assert [reply.index for reply in stream] == list(range(2, 10))
