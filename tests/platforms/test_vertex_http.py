"""The HTTP side that Vertex AI asks: a real server process, asked as the platform asks it."""

# A row of a table stays on its line.
# ruff: noqa: E501
from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import FRAUD
from scripted import CANNOT
from scripted import MODEL as SCRIPTED
from serving import NOT_SERVING, PATIENCE, Probe, error_of
from support import Project, create
from vertex_probe import JSON, Http, loading, make_vertex_probe, row, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these tests stop servers by signals")


@pytest.fixture(scope="module")
def probe(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return make_vertex_probe(template, tmp_path_factory.mktemp("vertex"))


@pytest.fixture(scope="module")
def web(probe: Probe) -> Iterator[Http]:
    """One server for tests that leave it as they found it."""
    with running(probe, HTTP_MAX_BYTES="1500000") as running_one:
        yield running_one


def test_without_the_platform_there_is_no_http_and_no_library_for_it(iris: Project) -> None:
    assert not (iris.path / "src" / "iris" / "server" / "platforms").exists()
    assert not (iris.path / "deploy").exists()
    assert "aiohttp" not in (iris.path / "requirements" / "server.txt").read_text(encoding="utf-8")


def test_it_listens_at_once_and_is_unwell_until_the_model_is_loaded(probe: Probe, tmp_path: Path) -> None:
    with loading(probe, MODEL_PATH=str(probe.artifact("slow", tmp_path))) as web:
        web.server.told.wait(lambda line: "loading" in line)
        assert web.health() == 503
        refused = web.predict(row(1))
        assert (refused.status, refused.message) == (503, "the model is still loading")
        assert refused.headers["Retry-After"] == "1"
        web.server.release()
        web.server.until_serving()
        assert web.health() == 200
        assert web.predict(row(1)).status == 200


def test_a_server_whose_model_fails_was_never_healthy(probe: Probe, tmp_path: Path) -> None:
    with loading(probe, MODEL_PATH=str(probe.artifact("failing", tmp_path))) as web:
        assert web.server.ended() == 1
        assert "the weights are torn" in web.server.messages("CRITICAL")


def test_a_model_that_is_broken_or_hangs_is_503_with_the_same_words(probe: Probe, tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    lines = "if mode == 'broken': raise ModelBroken('no GPU')", "if mode == 'hang': time.sleep(4)"
    script.write_text("def predict(call, mode):\n    " + "\n    ".join(lines), encoding="utf-8")
    project = probe.with_model(SCRIPTED, tmp_path / "project")
    with running(project, MODEL_PATH=str(script), MODEL_TIMEOUT_SECONDS="2") as web:
        for mode, words in (("broken", "the model is broken: no GPU"), ("hang", CANNOT.partition(": ")[2])):
            for asked in (row(1, mode), row(1)):
                refused = web.predict(asked)
                assert (refused.status, refused.body["error"]["status"]) == (503, "UNAVAILABLE")
                assert (refused.message, refused.headers["Retry-After"]) == (words, "1")
            unwell = web.ask("GET", "/health")
            assert (unwell.status, unwell.body) == (503, {"status": "NOT_SERVING", "message": words})
            web.server.until_serving()
            assert (web.health(), web.predict(row(1)).status) == (200, 200)


def test_instances_become_predictions_by_protobufs_json(web: Http) -> None:
    answer = web.predict(
        row(1, points=[{"x": 1}, {"x": "2.5"}]), row(500), {"value": 7, "mode": "plain", "near": {"x": 1}}
    )
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == {
        "predictions": [
            {"result": 2.0, "vector": [0.001, 0.5, 0.002]},
            {"result": 1000.0, "vector": [0.5, 0.5, 0.0]},
            {"result": 14.0, "vector": [0.007, 0.5, 0.0]},
        ]
    }


def test_no_instances_are_no_predictions(web: Http) -> None:
    assert web.predict().body == {"predictions": []}


def test_the_instances_of_a_call_are_one_batch(probe: Probe) -> None:
    values = [float(value) for value in range(101, 133)]
    with running(probe, MAX_BATCH_SIZE="32") as web:
        assert [p["result"] for p in web.predict(*map(row, values)).body["predictions"]] == [v * 2 for v in values]
        web.server.until_computing(values[0])
        assert web.server.batches()[1:] == [values]  # the first was the warm-up
        longer = [*values, 200.0]
        assert web.predict(*map(row, longer)).status == 200
        web.server.until_computing(200.0)
        assert web.server.batches()[2:] == [values, [200.0]]


def test_the_batches_are_those_of_gRPC(probe: Probe) -> None:
    with running(probe, MAX_IN_FLIGHT="4") as web:
        first = web.server.predict_soon(1, "wait")
        web.server.until_computing(1)
        by_http, by_grpc = web.predict_soon(row(11), row(12)), web.server.predict_soon(13)
        web.server.until_full()
        web.server.release()
        assert [first.result().result, by_grpc.result().result] == [2, 26]
        assert [p["result"] for p in by_http.result().body["predictions"]] == [22, 24]
        web.server.until_computing(13)
        assert sorted(web.server.batches()[-1]) == [11, 12, 13]


VIOLATIONS: list[tuple[str, Any, list[tuple[str, str]]]] = [
    ("nothing", {}, [("instances", "is required")]),
    ("no list", {"instances": {"value": 1}}, [("instances", "must be a list; got an object")]),
    ("a list", [row(1)], [("", 'the body must be {"instances": [...], ...')]),
    ("text", {"instances": ["x"]}, [("instances[0]", 'must be an object, {"value": ...}; got a string')]),
    ("null", {"instances": [row(1), None]}, [("instances[1]", 'must be an object, {"value": ...}; got null')]),
    (
        "several",
        {"instances": [row(-1), row(1), {"value": 2000, "mode": "x" * 21}, {}]},
        [
            ("instances[0].value", "must be from 0 to 1000; got -1.0"),
            ("instances[2].value", "must be from 0 to 1000; got 2000.0"),
            ("instances[2].mode", "must have at most 20 characters; got 21"),
            ("instances[3].value", "is required"),
            ("instances[3].mode", "is required"),
        ],
    ),
    (
        "types and limits",
        {"instances": [{"value": "high", "mode": 5, "points": [{"x": 11}, {"x": "a"}, {"y": 1}, 3]}]},
        [
            ("instances[0].value", 'must be a number; got "high"'),
            ("instances[0].mode", "must be a string; got 5"),
            ("instances[0].points[1].x", 'must be a number; got "a"'),
            ("instances[0].points[2].y", "is not a field of Point; its fields are: x"),
            ("instances[0].points[3]", 'must be an object, {"x": ...}; got a number'),
        ],
    ),
    (
        "a limit beside a type",
        {"instances": [{"value": 5000, "mode": 7, "nearest": {}}]},
        [
            ("instances[0].mode", "must be a string; got 7"),
            ("instances[0].nearest", "is not a field of PredictRequest; its fields are: value, mode, points, near"),
            ("instances[0].value", "must be from 0 to 1000; got 5000.0"),
        ],
    ),
    (
        "a list that is none",
        {"instances": [row(1) | {"points": {"x": 1}}]},
        [("instances[0].points", "must be a list, each an object, a Point; got an object")],
    ),
    (
        "parameters",
        {"instances": [], "parameters": [1]},
        [("parameters", 'must be an object, {"value": ...}; got a list')],
    ),
    (
        "a parameter",
        {"instances": [row(1)], "parameters": {"top_k": 5}},
        [("parameters.top_k", "is not a field of PredictRequest; its fields are: value, mode, points, near")],
    ),
    (
        "NaN",
        {"instances": [row(float("nan"))]},
        [("instances[0].value", "must be a number; got NaN; JSON has it in quotes: ...")],
    ),
]


@pytest.mark.parametrize(("body", "wanted"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS])
def test_violations_are_told_all_at_once_by_instance_and_path(
    web: Http, body: Any, wanted: list[tuple[str, str]]
) -> None:
    answer = web.ask("POST", "/predict", json.dumps(body).encode())
    assert (answer.status, answer.body["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert [field for field, _ in answer.violations] == [field for field, _ in wanted]
    for (_, told), (_, said) in zip(answer.violations, wanted, strict=True):
        assert told.startswith(said.removesuffix("...")), answer.violations
    assert answer.message.startswith(f"{answer.violations[0][0]}: ".removeprefix(": "))


def test_a_violation_that_the_model_finds_is_its_instances(web: Http) -> None:
    answer = web.predict(row(1), row(2, "refuse"), row(3))
    assert (answer.status, answer.violations) == (400, [("instances[1].mode", "is not sold here")])


def test_the_model_can_refuse_with_a_status_code(web: Http) -> None:
    codes = {
        499: ["CANCELLED"],
        500: ["UNKNOWN", "INTERNAL", "DATA_LOSS"],
        400: ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"],
        504: ["DEADLINE_EXCEEDED"],
        404: ["NOT_FOUND"],
        409: ["ALREADY_EXISTS", "ABORTED"],
        403: ["PERMISSION_DENIED"],
        401: ["UNAUTHENTICATED"],
        429: ["RESOURCE_EXHAUSTED"],
        501: ["UNIMPLEMENTED"],
        503: ["UNAVAILABLE"],
    }
    for status, code in [(status, code) for status, names in codes.items() for code in names]:
        answer = web.predict(row(1), row(2, code))
        assert (answer.status, answer.body["error"]["code"], answer.body["error"]["status"]) == (status, status, code)
        prefix = "" if code in ("INTERNAL", "UNAVAILABLE") else "instances[1]: "
        assert answer.message.startswith(f"{prefix}is sold out\\n")
        assert web.predict(row(1)).status == 200


def test_a_thousand_bad_instances_need_no_thousand_lines(web: Http) -> None:
    answer = web.predict(*[row(-1)] * 1000)
    assert answer.status == 400
    assert len(answer.violations) == 100
    assert len(answer.message) <= 512


def test_a_failing_model_tells_nothing_of_the_house(web: Http) -> None:
    answer = web.predict(row(1), row(2, "raise"), row(3, "refuse"))
    assert (answer.status, answer.message) == (500, "the server failed to answer this request")
    assert answer.body["error"]["status"] == "INTERNAL"
    line = web.server.log.wait(lambda line: line["level"] == "ERROR" and "secret" in line["message"])[0]
    assert line["request_id"] == f"{answer.headers['X-Request-Id']}/1"


def test_parameters_are_fields_of_each_instance_that_does_not_set_them(web: Http) -> None:
    answer = web.predict({"value": 1}, {"value": 2, "mode": "refuse"}, parameters={"mode": "plain"})
    assert answer.violations == [("instances[1].mode", "is not sold here")]
    assert (
        web.predict({"value": 1}, {}, parameters={"mode": "plain", "value": 5}).body["predictions"][1]["result"] == 10
    )
    for nothing in ({}, None):
        assert web.predict(row(1), parameters=nothing).status == 200


CHANNELS = "must be one of CHANNEL_ONLINE, CHANNEL_IN_STORE; got "
TENSOR: dict[str, Any] = {"shape": [1, 4], "values": [0, 0, 0, 0]}
# Instances of `Score`, and of `Explain` where there is an embedding: the first thing that is said of each.
MISFITS: list[tuple[dict[str, Any], str, str]] = [
    ({"channel": "ONLINE"}, "channel", f'{CHANNELS}"ONLINE"; did you mean CHANNEL_ONLINE?'),
    ({"merchant": {"country": 5}}, "merchant.country", "must be a string; got 5"),
    ({"retries": 1.5}, "retries", "must be an integer from -2147483648 to 2147483647; got 1.5"),
    ({"history": [{"at": "yesterday"}]}, "history[0].at", 'must be a time, such as "2026-01-31T12:00:00Z"; got "yesterday"'),
    ({"counters": {"a": 1, "b": "x"}}, "counters['b']", f'must be an integer from {-(2**63)} to {2**63 - 1}; got "x"'),
    ({"counters": [1]}, "counters", "must be an object, {KEY: VALUE, ...}; got a list"),
    ({"card": "c", "account": "a"}, "means", "only one of card, account may be given"),
    ({"merchant": {"merchant_id": "m_0042", "merchantId": "m_0042"}}, "merchant.merchant_id", "only one of merchant_id, merchantId may be given"),
    ({"embedding": TENSOR | {"values": [0, 1, None, 2]}}, "embedding.values[2]", "must be a number from -3.4e38 to 3.4e38; got null"),
    ({"embedding": TENSOR, "window": "1 hour"}, "window", 'must be a duration, such as "1.5s"; got "1 hour"'),
    ({"embedding": TENSOR, "pixels": 3}, "pixels", "must be a string in base64; got 3"),
    # What protobuf reads and the contract refuses has the same names.
    ({"channel": 0, "merchant": {"merchant_id": "m_0042", "country": "NL"}, "amount": 1}, "channel", f"{CHANNELS}CHANNEL_UNSPECIFIED"),
]  # fmt: skip


@pytest.mark.slow
def test_parameters_leave_an_instances_own_oneof_alone_and_misfits_are_told_in_own_words(
    template: Path, tmp_path: Path
) -> None:
    (tmp_path / "fraud.yaml").write_text(FRAUD, encoding="utf-8")
    answers = {"package": "fraud", "framework": "python", "platforms": ["vertex-ai"]}
    project = create(template, tmp_path / "fraud", **answers, schema=str(tmp_path / "fraud.yaml"))
    code = """
        import json, pathlib
        from fraud.contract import METHODS, InvalidRequest
        from fraud.server.platforms.instances import Codec
        sample = json.loads(pathlib.Path("tests/requests/Score.json").read_text())
        paid = {key: value for key, value in sample.items() if key not in ("card", "account", "note")}
        camel = {**{k: v for k, v in paid.items() if k != "retries"}, "retries": 3}
        body = {"instances": [paid, {**paid, "card": "c"}, {**camel, "account": "a"}],
                "parameters": {"account": "p", "note": "of all", "retries": 5}}
        def decode(method, body):
            codec = Codec(METHODS[method], max_items=1000, max_instances=10, max_bytes=10000)
            return codec.decode(json.dumps(body).encode(), lambda: None)
        found = decode(0, body)
        print(json.dumps([[r.card, r.account, r.note, r.retries] for r in found]))
        told = []
        for method, instance in json.loads(CASES):
            try:
                decode(method, {"instances": [instance]})
            except InvalidRequest as error:
                told.append([error.violations[0].field.removeprefix("instances[0]."), error.violations[0].description])
        print(json.dumps(told))
    """.replace("CASES", repr(json.dumps([(int("embedding" in one), one) for one, _, _ in MISFITS])))
    retries = json.loads((project.path / "tests/requests/Score.json").read_text(encoding="utf-8"))["retries"]
    printed = project.python("-c", "\n".join(line[8:] for line in code.splitlines())).stdout.splitlines()
    assert json.loads(printed[1]) == [[path, words] for _, path, words in MISFITS]
    assert json.loads(printed[0]) == [
        [None, "p", "of all", retries],
        ["c", None, "of all", retries],
        [None, "a", "of all", 3],
    ]


@pytest.mark.parametrize(
    ("ask", "status", "said"),
    [
        (("GET", "/"), 404, "no route for GET /; the routes are: GET /health, POST /predict"),
        (("POST", "/predict/", b"{}"), 404, "no route for POST /predict/"),
        (("GET", "/predict"), 405, "no route for GET /predict"),
        (("POST", "/health", b"{}"), 405, "no route for POST /health"),
        (("POST", "/predict", b"{"), 400, "the body is not JSON: "),
        (("POST", "/predict", b""), 400, "the body is not JSON: "),
        (("POST", "/predict", b"\xff\xfe{}"), 400, "the body is not JSON: "),
        (("POST", "/predict", b"[" * 100_000), 400, "the body is not JSON: "),
        (("POST", "/predict", b"{}", {**JSON, "Expect": "tea"}), 417, "100-continue"),
        (("POST", "/predict", b"a=b", {"Content-Type": "text/plain"}), 415, "its Content-Type application/json"),
        (("POST", "/predict", b" " * 1_500_001), 413, "1500000"),
        (("POST", "/predict", b"no gzip", {**JSON, "Content-Encoding": "gzip"}), 400, "cannot be read"),
    ],
)
def test_what_http_refuses(web: Http, ask: Any, status: int, said: str) -> None:
    answer = web.ask(*ask)
    assert (answer.status, answer.body["error"]["code"]) == (status, status)
    assert said in answer.message


def test_a_compressed_body_is_bounded_by_its_real_size(web: Http) -> None:
    body = gzip.compress(bytes(10**8))  # made here, since every test process would make it to name a parameter
    answer = web.ask("POST", "/predict", body, {**JSON, "Content-Encoding": "gzip"})
    assert (answer.status, answer.body["error"]["code"]) == (413, 413)
    assert "1500000" in answer.message
    assert web.health() == 200


def test_a_body_without_a_type_and_a_compressed_one_are_read(web: Http) -> None:
    body = json.dumps({"instances": [row(1)]}).encode()
    assert web.ask("POST", "/predict", body, {}).status == 200
    assert web.ask("POST", "/predict", gzip.compress(body), {**JSON, "Content-Encoding": "gzip"}).status == 200
    assert web.ask("POST", "/predict", body, {"Content-Type": "application/json; charset=utf-8"}).status == 200


def test_a_large_body_does_not_keep_health_waiting(web: Http) -> None:
    points = [{"x": 1.5}] * 1000
    answer = web.predict(*[row(value, points=points) for value in range(60)])
    assert answer.status == 200
    assert [p["result"] for p in answer.body["predictions"]] == [value * 2 for value in range(60)]


def test_above_the_limit_a_call_is_refused_and_health_is_not(probe: Probe) -> None:
    with running(probe, MAX_IN_FLIGHT="3") as web:
        taken = web.predict_soon(row(1, "wait"), row(2), row(3), row(4))  # there was room when it came
        web.server.until_computing(1)
        refused = web.predict(row(9))
        assert (refused.status, refused.body["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert refused.message == "4 requests are in flight already"
        assert error_of(lambda: web.server.predict(9)).code().name == "RESOURCE_EXHAUSTED"
        assert web.health() == 200
        web.server.release()
        assert taken.result().status == 200
        assert web.predict(row(9)).status == 200


def test_a_call_that_takes_too_long_is_given_up_and_what_waits_of_it_is_not_computed(probe: Probe) -> None:
    with running(probe, HTTP_TIMEOUT_SECONDS="0.3", MAX_BATCH_SIZE="1") as web:
        late = web.predict(row(1, "wait"), row(2))
        assert (late.status, late.body["error"]["status"]) == (504, "DEADLINE_EXCEEDED")
        assert late.message == "there is no answer after HTTP_TIMEOUT_SECONDS, 0.3"
        web.server.release()
        assert web.server.predict(3).result == 6
        web.server.until_computing(3)
        assert [2] not in web.server.batches()


def test_what_a_client_that_has_gone_asked_is_not_computed(probe: Probe) -> None:
    with running(probe, MAX_IN_FLIGHT="2", LOG_REQUESTS="true") as web:
        first = web.server.predict_soon(1, "wait")
        web.server.until_computing(1)
        with socket.create_connection(("127.0.0.1", web.port)) as gone:
            gone.sendall(post(json.dumps({"instances": [row(77)]}).encode()))
            web.server.until_full()
        web.server.log.wait(lambda line: line["message"].startswith("HTTP v1.Predict") and line["code"] == "CANCELLED")
        web.server.release()
        assert first.result().result == 2
        web.server.predict(5)
        web.server.until_computing(5)
        assert [77] not in web.server.batches()


def test_clients_that_go_are_no_errors_of_the_server(probe: Probe) -> None:
    """A log full of them would hide what matters."""
    with running(probe, LOG_REQUESTS="true") as web:
        body = post(json.dumps({"instances": [row(1)] * 20}).encode())
        for size in [len(body)] * 30 + [len(body) - 5] * 10:
            with socket.create_connection(("127.0.0.1", web.port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes by a reset
                gone.sendall(body[:size])
        web.server.log.wait(lambda line: line["message"].startswith("HTTP v1.Predict"), count=30)
        assert web.predict(row(1)).status == 200
        web.server.terminate()
        assert web.server.ended() == 0
        assert web.server.messages("ERROR") == ""


def post(body: bytes) -> bytes:
    """A call as it goes over the wire."""
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_over_http(probe: Probe, number: signal.Signals) -> None:
    with running(probe, LAME_DUCK_SECONDS="0.5") as web:
        with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE)) as idle:
            idle.request("GET", "/health")
            kept = idle.getresponse()
            assert (kept.status, kept.read() and kept.will_close) == (200, False)
            taken = web.predict_soon(row(1, "wait"), row(2))
            web.server.until_computing(1)
            watch = web.server.watch()
            assert next(watch) != NOT_SERVING
            web.server.terminate(number)
            assert next(watch) == NOT_SERVING
            idle.request("GET", "/health")
            told = idle.getresponse()
            assert (told.status, told.read() and told.will_close) == (503, True)
        late = web.predict_soon(row(3))  # while balancers do not know yet
        web.server.log.wait(lambda line: line["message"].startswith("stopping"))
        while (refused := web.ask("POST", "/predict", b"{}")).status == 400:
            pass  # it still takes calls
        assert (refused.status, refused.message) == (503, "the server is stopping")
        assert refused.headers["Connection"] == "close"
        web.server.release()
        assert [p["result"] for p in taken.result().body["predictions"]] == [2, 4]
        assert late.result().status == 200
        assert web.server.ended() == 0


def test_under_load_a_stop_loses_no_answer(probe: Probe) -> None:
    """Callers that keep their connections, and come back until they are refused."""
    with running(probe, LAME_DUCK_SECONDS="0.2") as web:
        lost: list[object] = []

        def call() -> None:
            body, status = json.dumps({"instances": [row(1)]}).encode(), 200
            while status == 200:
                with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE)) as connection:
                    close = False
                    while status == 200 and not close:
                        try:
                            connection.request("POST", "/predict", body, JSON)
                            reply = connection.getresponse()
                            reply.read()
                        except ConnectionRefusedError:
                            return
                        except Exception as error:
                            lost.append(error)
                            return
                        status, close = reply.status, reply.will_close
            if status != 503:
                lost.append(status)

        callers = [threading.Thread(target=call) for _ in range(8)]
        for caller in callers:
            caller.start()
        web.server.told.wait(lambda line: "batch" in line, count=50)
        web.server.terminate()
        for caller in callers:
            caller.join(PATIENCE)
        assert lost == []
        assert web.server.ended() == 0


def test_an_upload_that_never_ends_does_not_keep_the_server(probe: Probe) -> None:
    with running(probe) as web, socket.create_connection(("127.0.0.1", web.port)) as slow:
        slow.sendall(post(b"x" * 100)[:-50])
        assert web.health() == 200
        web.server.terminate()
        assert web.server.ended() == 0


def test_port_and_routes_are_what_the_platform_says(probe: Probe) -> None:
    routes = {"AIP_HEALTH_ROUTE": "/v1/endpoints/7/deployedModels/9"}
    routes["AIP_PREDICT_ROUTE"] = f"{routes['AIP_HEALTH_ROUTE']}:predict"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(probe, AIP_HTTP_PORT=str(port), **routes) as web:
        assert web.port == port
        assert web.health(routes["AIP_HEALTH_ROUTE"]) == 200
        assert web.predict(row(1), path=routes["AIP_PREDICT_ROUTE"]).status == 200
        assert web.health("/health") == 404


def test_one_route_can_be_both_and_empty_is_not_set(probe: Probe) -> None:
    with running(probe, AIP_HEALTH_ROUTE="/both", AIP_PREDICT_ROUTE="/both", AIP_STORAGE_URI="") as web:
        assert (web.health("/both"), web.predict(row(1), path="/both").status) == (200, 200)
    with running(probe, AIP_HEALTH_ROUTE="", AIP_PREDICT_ROUTE=" ") as web:
        assert (web.health("/health"), web.predict(row(1)).status) == (200, 200)


def test_another_method_can_be_asked(probe: Probe) -> None:
    with running(probe, PREDICT_METHOD="Echo") as web:
        assert web.predict({"text": "é"}).body == {"predictions": [{"text": "é"}]}


@pytest.mark.slow
def test_of_a_service_that_only_streams_there_is_health_alone(template: Path, tmp_path: Path) -> None:
    project = create(
        template,
        tmp_path / "p",
        package="p",
        framework="python",
        schema="x: float64 -> stream y: float64",
        platforms=["vertex-ai"],
    )
    project.python("train.py")
    with running(Probe(project.path, "p")) as web:
        assert web.health() == 200
        answer = web.predict({"x": 1})
        assert (answer.status, answer.message) == (
            501,
            "all methods of this service stream, and HTTP has one answer: use gRPC",
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT must be an integer from 0 to 65535; got 'http'"),
        (
            {"AIP_HEALTH_ROUTE": "health"},
            "AIP_HEALTH_ROUTE must be a path that begins with / and has no spaces, ?, #, { or }; got 'health'",
        ),
        ({"AIP_PREDICT_ROUTE": "/{x}", "HTTP_MAX_BYTES": "0"}, "AIP_PREDICT_ROUTE must be a path that begins with / "),
        (
            {"AIP_PREDICT_ROUTE": "/{x}", "HTTP_MAX_BYTES": "0"},
            "HTTP_MAX_BYTES must be an integer from 1 to 2147483647; got '0'",
        ),
        (
            {"PREDICT_METHOD": "Count"},
            "PREDICT_METHOD must be a unary method (Echo, Predict, v1.Echo, v1.Predict); got 'Count'",
        ),
        ({"AIP_HTTP_PORT": "9321", "PORT": "9321"}, "AIP_HTTP_PORT and PORT are both 9321"),
    ],
)
def test_a_wrong_setting_is_refused(probe: Probe, settings: dict[str, str], said: str) -> None:
    with loading(probe, **settings) as web:
        assert web.server.ended() == 1
        assert said in web.server.messages("CRITICAL")


def test_a_taken_port_is_told(probe: Probe) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        loading(probe, AIP_HTTP_PORT=str(taken.getsockname()[1])) as web,
    ):
        assert web.server.ended() == 1
        assert "cannot listen on AIP_HTTP_PORT, " in web.server.messages("CRITICAL")
        assert not [line for line in web.server.log.ended() if "Traceback" in str(line)]
        assert not [line for line in web.server.log.all if not line.startswith("{")]


def test_requests_are_logged_where_that_is_asked(probe: Probe) -> None:
    with running(probe, LOG_REQUESTS="1") as web:
        web.ask("POST", "/predict", b"{}", {**JSON, "X-Request-Id": "mine"})
        line = web.server.log.wait(lambda line: line.get("request_id") == "mine")[0]
        assert (line["method"], line["code"]) == ("v1.Predict", "INVALID_ARGUMENT")
        assert line["message"].startswith("HTTP v1.Predict (request mine): INVALID_ARGUMENT, ")
