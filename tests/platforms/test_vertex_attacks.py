"""Hostile callers of the HTTP side: a real server process under attack, and what its health probe sees meanwhile."""

# A row of a table stays on its line.
# ruff: noqa: E501
from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from serving import PATIENCE, Probe
from vertex_probe import JSON, Http, make_vertex_probe, row, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these tests read /proc")

HEALTH_SECONDS = 3.0  # 0.1 on a machine that has nothing else to do
MEMORY_MB = 400
GZIP = {**JSON, "Content-Encoding": "gzip"}

# Asks for health on a new connection, again and again, in a process of its own: threads of the test would delay it.
PROBER = """
import http.client, json, select, sys, time
seconds, wrong = [], []
print("ready", flush=True)
while not seconds or not select.select([sys.stdin], [], [], 0.01)[0]:
    start = time.perf_counter()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
        connection.request("GET", "/health")
        status = connection.getresponse().status
        connection.close()
    except OSError as error:
        status = repr(error)
    if status != 200:
        wrong.append(status)
    seconds.append(time.perf_counter() - start)
print(json.dumps([seconds, wrong]))
"""


@pytest.fixture(scope="module")
def probe(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return make_vertex_probe(template, tmp_path_factory.mktemp("attacks"))


@pytest.fixture(scope="module")
def web(probe: Probe) -> Iterator[Http]:
    with running(
        probe, HTTP_MAX_BYTES="2500000", MAX_REQUEST_ELEMENTS="50000", HTTP_MAX_INSTANCES="1000"
    ) as running_one:
        yield running_one


def memory_mb(web: Http, name: str = "VmRSS") -> float:
    status = Path(f"/proc/{web.server.process.pid}/status").read_text()
    return int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 1024


def descriptors(web: Http) -> int:
    return len(os.listdir(f"/proc/{web.server.process.pid}/fd"))


def cpu_seconds(web: Http) -> float:
    numbers = Path(f"/proc/{web.server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(web: Http) -> Iterator[None]:
    """Holds an attack to its bounds: the latency and the answer of health, and the peak of memory."""
    before = memory_mb(web)
    Path(f"/proc/{web.server.process.pid}/clear_refs").write_text("5")  # the peak is counted from here
    prober = subprocess.Popen(
        [sys.executable, "-c", PROBER, str(web.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert prober.stdout
    prober.stdout.readline()
    try:
        yield
    finally:
        output, _ = prober.communicate("stop\n", timeout=PATIENCE)
    seconds, wrong = json.loads(output)
    assert wrong == []
    assert max(seconds) < HEALTH_SECONDS
    assert memory_mb(web, "VmHWM") - before < MEMORY_MB


def head(*lines: str, length: int | None = None) -> bytes:
    text = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    if length is not None:
        text.append(f"Content-Length: {length}")
    return "\r\n".join([*text, "", ""]).encode("latin-1")


def connections(web: Http, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) for _ in range(count)]


def ended(web: Http, sockets: list[socket.socket]) -> None:
    """Returns when the server has closed the connections."""
    for each in sockets:
        with closing(each), suppress(ConnectionError):
            while each.recv(65536):
                pass


def send(each: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # the server may have closed the connection
        each.sendall(data)


def side_by_side(calls: list[Callable[[], Any]]) -> list[Any]:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda call=call: results.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


GOOD = json.dumps({"instances": [row(1)]}).encode()
REFUSED: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("a key twice", b'{"instances": [{"value": 1, "value": 2}]}', JSON, 400, "instances[0].value: is given more than once"),
    ("escaped", b'{"instances": [{"mode": "a", "m\\u006fde": "b"}]}', JSON, 400, "instances[0].mode: is given more than once"),
    ("on top", b'{"instances": [], "instances": []}', JSON, 400, "instances: is given more than once"),
    ("deep", b'{"instances": [{"points": [{"x": 1}, {"x": 1, "x": 1}]}]}', JSON, 400, "instances[0].points[1].x: is given"),
    ("in parameters", b'{"instances": [], "parameters": {"mode": "", "mode": ""}}', JSON, 400, "parameters.mode: is given"),
    ("beside much", b'{"instances": [' + b'{"value": 1},' * 30000 + b'{"mode": "", "mode": ""}]}', JSON, 400, "instances[30000].mode: is given"),
    ("huge integer", b'{"instances": [{"value": ' + b"9" * 4000 + b"}]}", JSON, 400, "instances[0].value: must be a number"),
    ("huge exponent", b'{"instances": [{"value": 1e999999}]}', JSON, 400, "instances[0].value: must be a number; got Infinity"),
    ("lone surrogate", b'{"instances": [{"mode": "\\ud800"}]}', JSON, 400, "instances[0].mode: must be a string"),
    ("lone surrogate in a name", b'{"instances": [{"mode": "", "\\udfff": 1}]}', JSON, 400, "is not a field of PredictRequest"),
    ("and deeper", b'{"instances": [{"points": [{"\\udfff": 1}]}]}', JSON, 400, "is not a field of Point"),
    ("and in a name of parameters", b'{"instances": [{}], "parameters": {"\\udfff": 1}}', JSON, 400, "parameters.?: is not a field of PredictRequest"),
    ("surrogate in UTF-8", b'{"instances": [{"mode": "\xed\xa0\x80"}]}', JSON, 400, "the body is not JSON"),
    ("deep and long", b"[" * 2_300_000, JSON, 400, "the body is nested more than 256 levels deep"),
    ("items", b'{"instances": [' + b"{}," * 60000 + b"{}]}", JSON, 413, "100000 values, twice MAX_REQUEST_ELEMENTS"),
    ("instances", b'{"instances": [' + b"{}," * 1000 + b"{}]}", JSON, 413, "1001 instances, more than HTTP_MAX_INSTANCES, 1000"),
    ("bytes of parameters", json.dumps({"instances": [{}] * 500, "parameters": {"mode": "x" * 6000}}).encode(), JSON, 413, "HTTP_MAX_BYTES, 2500000"),
    ("items of parameters", json.dumps({"instances": [{}] * 500, "parameters": {"points": [{}] * 250}}).encode(), JSON, 413, "100000, twice MAX_REQUEST_ELEMENTS"),
    ("brotli", GOOD, {**JSON, "Content-Encoding": "br"}, 415, "must be gzip or deflate, not br"),
    ("zstd", GOOD, {**JSON, "Content-Encoding": "zstd"}, 415, "must be gzip or deflate, not zstd"),
    ("twice", gzip.compress(gzip.compress(GOOD)), {**JSON, "Content-Encoding": "gzip, gzip"}, 415, "not gzip, gzip"),
    ("garbage behind", gzip.compress(GOOD) + b"more", GZIP, 400, "the body cannot be read"),
    ("cut off", gzip.compress(GOOD)[:-1], GZIP, 400, "it ends too early"),
    ("many members", gzip.compress(b"") * 2000, GZIP, 400, "more follows where it should end"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_bodies_that_are_refused(web: Http, case: tuple[str, bytes, dict[str, str], int, str]) -> None:
    _, body, headers, status, words = case
    answer = web.ask("POST", "/predict", body, headers)
    assert (answer.status, answer.body["error"]["code"]) == (status, status)
    assert words in answer.message


def test_compressed_bodies_are_read_in_every_form(web: Http) -> None:
    half = len(GOOD) // 2
    raw = zlib.compressobj(wbits=-15)
    bodies = {
        "gzip": gzip.compress(GOOD[:half]) + gzip.compress(GOOD[half:]) + gzip.compress(b""),
        "x-gzip": gzip.compress(GOOD),
        "deflate": zlib.compress(GOOD),
        "Deflate": raw.compress(GOOD) + raw.flush(),
        "identity": GOOD,
    }
    for coding, body in bodies.items():
        assert web.ask("POST", "/predict", body, {**JSON, "Content-Encoding": coding}).status == 200


WRONG_HEADS = [
    head("X-\xe9: 1", length=0),
    head("Content-Length: abc"),
    head("Content-Length: -5"),
    head("Content-Length: 5", "Content-Length: 6"),
    head(f"Content-Length: {10**30}"),
    head("Transfer-Encoding: chunked", length=4) + b"0\r\n\r\n",
    head("Transfer-Encoding: other"),
    head("Transfer-Encoding: chunked, other"),
    head("X-A: 1", "  folded", length=0),
    head("X-A : 1", length=0),
    head("X-A: a\0b", length=0),
    head("Transfer-Encoding: chunked") + b"zz\r\n",
    head(*["X-A: 1"] * 100_000),
    head("X-A: " + "a" * 1_000_000),
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
]


def test_what_is_not_http_gets_400_and_writes_nothing_in_the_log(web: Http) -> None:
    lines = len(web.server.log.all)
    for data in WRONG_HEADS:
        (one,) = connections(web, 1)
        with closing(one):
            send(one, data)
            assert re.match(rb"HTTP/1\.[01] 400 ", one.recv(1000)), data[:100]
    for name in ("X-Request-Id", "Content-Encoding", "X-Other"):
        (one,) = connections(web, 1)
        with closing(one):
            one.sendall(head(f"{name}: \xe9\xff\u202e".encode().decode("latin-1"), length=len(GOOD)) + GOOD)
            assert re.match(rb"HTTP/1\.1 (200|415) ", one.recv(1000)), name
    assert web.health() == 200
    assert web.server.log.all[lines:] == []


def test_a_body_is_asked_for_only_where_it_may_come(web: Http) -> None:
    expect = "Expect: 100-continue"
    for lines, length, status in (([expect], 10**9, 413), ([expect, "Content-Encoding: br"], 5, 415)):
        (one,) = connections(web, 1)
        with closing(one):
            one.sendall(head(*lines, length=length))
            assert one.recv(1000).startswith(b"HTTP/1.1 %d " % status)
    (one,) = connections(web, 1)
    with closing(one):
        one.sendall(head(expect, length=len(GOOD)))
        assert one.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(GOOD)
        assert one.recv(1000).startswith(b"HTTP/1.1 200 ")


PARTS = """
import json, random, sys
from probe.contract.violations import InvalidRequest
from probe.server.platforms import json_body

def strict(pairs):
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("twice")
    return value

def read(body):
    try:
        return "JSON", json_body.read_json(body, 10**6, lambda: None)
    except InvalidRequest:
        return "not JSON", None

def loads(body):
    try:
        return "JSON", json.loads(body.decode(), object_pairs_hook=strict)
    except ValueError:
        return "not JSON", None

chosen = random.Random(16)
TEXTS = [1, -2.5, None, True, "a,b", 'x\\\\"[{', 'é"', '"', "\\\\", "]}", [], {}, "\\n"]

def value(depth):
    kind = chosen.random()
    if depth > 6 or kind < 0.45:
        return chosen.choice(TEXTS)
    if kind < 0.75:
        return [value(depth + 1) for _ in range(chosen.randrange(8))]
    return {chosen.choice('abcdefgh\\\\",[]{}é'): value(depth + 1) for _ in range(chosen.randrange(6))}

for _ in range(int(sys.argv[1])):
    json_body.SHORT_BYTES, json_body.PART_BYTES = 0, chosen.choice([2, 3, 5, 8, 16, 64])
    text = json.dumps(value(0), ensure_ascii=chosen.random() < 0.5, indent=chosen.choice([None, None, 1]))
    body = bytearray(text.encode())
    for _ in range(chosen.choice([0, 0, 1, 1, 2, 3]) if body else 0):
        place = chosen.randrange(len(body) + 1)
        if chosen.random() < 0.5:
            body[place : place + 1] = b""
        else:
            body[place:place] = bytes([chosen.choice(b'[]{},:"\\\\ 1a')])
    assert read(bytes(body)) == loads(bytes(body)), (bytes(body), json_body.PART_BYTES)
"""


@pytest.mark.parametrize("bodies", [150, pytest.param(600, marks=pytest.mark.slow)])
def test_a_body_that_is_parsed_in_parts_has_the_same_value(probe: Probe, bodies: int) -> None:
    probe.python("-c", PARTS, str(bodies))


KEYS = """
from google.protobuf import descriptor_pb2, descriptor_pool
from probe.server.json_violations import has_integer_keys, repeated_integer_keys
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

file = descriptor_pb2.FileDescriptorProto(name="keys.proto", package="keys", syntax="proto3")
outer = file.message_type.add(name="Outer")
outer.field.add(name="inner", number=1, type=Field.TYPE_MESSAGE, type_name=".keys.Inner", label=Field.LABEL_REPEATED)
inner = file.message_type.add(name="Inner")
entry = inner.nested_type.add(name="CountsEntry")
entry.options.map_entry = True
entry.field.add(name="key", number=1, type=Field.TYPE_INT64)
entry.field.add(name="value", number=2, type=Field.TYPE_INT64)
inner.field.add(name="counts", number=1, type=11, type_name=".keys.Inner.CountsEntry", label=Field.LABEL_REPEATED)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
kind = pool.FindMessageTypeByName("keys.Outer")
assert has_integer_keys(kind)
value = {"inner": [{"counts": {"1": 1, "2": 2}}, {"counts": {"1": 1, "01": 2}}, {}, {"counts": None}]}
assert [each.field for each in repeated_integer_keys(value, kind, "at")] == ["at.inner[1].counts"]
"""


def test_integer_keys_of_maps_that_are_written_in_two_ways_are_repeated_keys(probe: Probe) -> None:
    probe.python("-c", KEYS)


@pytest.mark.slow
def test_attacks_leave_health_and_memory_alone(probe: Probe) -> None:
    with running(probe, HTTP_IDLE_SECONDS="2", DRAIN_SECONDS="4") as web:
        good = web.predict(row(1))
        assert good.status == 200
        before, opened = memory_mb(web), descriptors(web)
        for attack in ATTACKS:
            started = cpu_seconds(web)
            with watched(web):
                attack(web)
            assert cpu_seconds(web) - started < 15, attack.__name__
            assert web.predict(row(1)).body == good.body, attack.__name__
        deadline = time.monotonic() + PATIENCE
        while descriptors(web) > opened + 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert descriptors(web) <= opened + 2
        assert memory_mb(web) - before < MEMORY_MB
        assert not [line for line in web.server.log.all if "Traceback" in line]
        _a_stop_ends_it(web)


@pytest.mark.slow
def test_answers_that_nobody_reads_are_given_up(probe: Probe) -> None:
    settings = {"PREDICT_METHOD": "Echo", "HTTP_IDLE_SECONDS": "4", "MAX_IN_FLIGHT": "10", "LOG_REQUESTS": "true"}
    with running(probe, **settings) as web:
        body = json.dumps({"instances": [{"text": "x" * 9_000_000}]}).encode()
        with watched(web):
            sockets = connections(web, 4)
            for each in sockets:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            side_by_side([lambda each=each: send(each, head(length=len(body)) + body) for each in sockets])
            web.server.log.wait(lambda line: line.get("code") == "CANCELLED", count=1)
        for each in sockets:
            each.close()
        assert web.predict({"text": "a"}).status == 200


def _a_stop_ends_it(web: Http) -> None:
    """While bodies are read, decoded, computed and sent."""
    body = json.dumps({"instances": [row(1, points=[{"x": 1}] * 1000)] * 250}).encode()
    sockets = connections(web, 4)
    for each in sockets:
        each.sendall(head(length=len(body)) + body)
    time.sleep(0.5)
    started = time.monotonic()
    web.server.terminate()
    web.server.ended()
    assert time.monotonic() - started < 4 + 4
    for each in sockets:
        each.close()


def parameters_for_each_instance(web: Http) -> None:
    for parameters in ({"mode": "x" * 1_000_000}, {"points": [{}] * 60_000}):
        body = json.dumps({"instances": [{}] * 5000, "parameters": {"value": 1, **parameters}}).encode()
        assert web.ask("POST", "/predict", body).status == 413


def millions_of_items(web: Http) -> None:
    for item in (b"{},", b"[],", b"1,", b'"",'):
        listed = item * (9_900_000 // len(item)) + item[:-1]
        for start, end in ((b'{"instances":[', b"]}"), (b'{"instances":[{"points":[', b"]}]}")):
            assert web.ask("POST", "/predict", start + listed + end).status in (400, 413)
    keys = b",".join(b'"%d":1' % number for number in range(450_000))
    assert web.ask("POST", "/predict", b'{"instances":[{' + keys + b"}]}").status == 400


def nested_and_huge(web: Http) -> None:
    for body in (
        b"[" * 9_900_000,
        b'{"points":' * 900_000,
        b'{"instances":[{"value":' + b"9" * 9_000_000 + b"}]}",
        b'{"instances":[{"mode":"' + b"\\u0061" * 1_600_000 + b'"}]}',
        b'{"instances":[{"' + b"k" * 9_000_000 + b'":1}]}',
    ):
        assert web.ask("POST", "/predict", body).status == 400


def gzip_that_grows(web: Http) -> None:
    bomb = gzip.compress(bytes(100_000_000), 6) * 3
    answers = side_by_side([lambda: web.ask("POST", "/predict", bomb, GZIP) for _ in range(8)])
    assert {answer.status for answer in answers} <= {413, 429}


def silent_connections(web: Http) -> None:
    silent = connections(web, 800)
    slow = connections(web, 50)
    for each in slow:
        send(each, b"POST /predict HTTP/1.1\r\nHost: x\r\n")
    bodies = connections(web, 50)
    for each in bodies:
        send(each, head(length=2_000_000) + b"x" * 60_000)
    for _ in range(3):
        time.sleep(0.5)
        for each in slow:
            send(each, b"X-A: 1\r\n")
    ended(web, [*silent, *slow])
    for each in bodies:
        assert b" 408 " in each.recv(1000)
        each.close()


def many_bodies_at_once(web: Http) -> None:
    body = b"x" * 9_000_000
    sockets = connections(web, 20)
    side_by_side([lambda each=each: send(each, head(length=len(body) + 1) + body) for each in sockets])
    assert web.predict(row(1)).status == 200
    for each in sockets:
        each.close()


def answers_of_health_that_nobody_reads(web: Http) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 2000
    pipelined = connections(web, 10)
    for each in pipelined:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        each.settimeout(0.1)
    for _ in range(10):
        for each in pipelined:
            send(each, request)
    time.sleep(3)
    for each in pipelined:
        each.close()


def tiny_chunks(web: Http) -> None:
    sockets = connections(web, 8)
    data = head("Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 200_000
    side_by_side([lambda each=each: send(each, data) for each in sockets])
    for each in sockets:
        each.close()


def callers_that_leave(web: Http) -> None:
    body = json.dumps({"instances": [row(1, points=[{"x": 1}] * 1000)] * 240}).encode()
    for _ in range(5):
        (one,) = connections(web, 1)
        with closing(one):
            one.sendall(head(length=len(body)) + body)
            time.sleep(0.3)
    time.sleep(1)
    started = cpu_seconds(web)
    time.sleep(1)
    assert cpu_seconds(web) - started < 0.6


ATTACKS = [
    parameters_for_each_instance,
    millions_of_items,
    nested_and_huge,
    gzip_that_grows,
    silent_connections,
    many_bodies_at_once,
    answers_of_health_that_nobody_reads,
    tiny_chunks,
    callers_that_leave,
]
