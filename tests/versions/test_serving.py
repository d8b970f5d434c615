"""A server with two versions: each its own batches, its own words for errors, its own lines in the log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from protoserve import generator_cli
from serving import PATIENCE, SERVING, Server, error_of, serving, starting, violations
from support import run
from versions.the_shop import MODEL_V2, TO_V2, UPGRADE_V1, Shop, model
from zoo.process import checks_with, verify

NAMES = "(\n    Colour, CountRequest, CountResponse, InvalidRequest, PredictRequest, PredictResponse\n)"
V1, V2 = "shop.v1.ShopService", "shop.v2.ShopService"


class Clients:
    """The messages of both versions, as their clients have them."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        descriptors = folder / "both.binpb"
        files = [f"proto/shop/{version}/prediction.proto" for version in ("v1", "v2")]
        protoc = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", f"--descriptor_set_out={descriptors}"]
        run([*protoc, *files], cwd=shop.path)
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
            self._pool.Add(file)

    def message(self, name: str, **fields: Any) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"shop.{name}"))(**fields)

    def call(self, server: Server, version: str, method: str, request: Any) -> Any:
        """The call of a unary method, which goes on while the test does."""
        reply = type(self.message(f"{version}.{method}Response"))
        path = f"/shop.{version}.ShopService/{method}"
        make = server.channel.unary_unary(path, type(request).SerializeToString, reply.FromString)
        return make.future(request, timeout=PATIENCE)

    def v1(self, server: Server, sku: str = "s", amount: float = 1.0, colour: int = 1) -> Any:
        item = self.message("v1.Item", sku=sku, amount=amount)
        return self.call(server, "v1", "Predict", self.message("v1.PredictRequest", items=[item], colour=colour))

    def v2(self, server: Server, sku: str = "s", cents: int = 100, colour: int = 1) -> Any:
        item = self.message("v2.Item", sku=sku, cents=cents)
        request = self.message("v2.PredictRequest", items=[item], colour=colour, currency="EUR")
        return self.call(server, "v2", "Predict", request)


@pytest.fixture(scope="module")
def both(first_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop with v1 and v2, whose model tells of its batches and waits where it is told to."""
    shop = first_shop.copy(tmp_path_factory.mktemp("both") / "shop")
    assert generator_cli.main(["version", "--project", str(shop.path), "v2"]) == 0
    shop.edit(*TO_V2)
    assert generator_cli.main(["generate", str(shop.path)]) == 0
    text = model("v2", MODEL_V2, NAMES).replace(
        "    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:\n",
        "    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:\n"
        "        skus = [item.sku for request in batch for item in request.items]\n"
        "        print(json.dumps({'batch': skus}), flush=True)\n"
        "        if 'wait' in skus:\n"
        "            sys.stdin.readline()\n",
    )
    shop.write(
        "src/shop/model.py", text.replace("from collections.abc", "import json\nimport sys\nfrom collections.abc")
    )
    shop.write("src/shop/upgrade/v1.py", UPGRADE_V1)
    return shop


@pytest.fixture(scope="module")
def clients(both: Shop, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return Clients(both, tmp_path_factory.mktemp("descriptors"))


@pytest.fixture(scope="module")
def server(both: Shop) -> Iterator[Server]:
    with serving(both) as running:
        yield running


def test_health_and_reflection_know_both(server: Server) -> None:
    assert [server.health(name) for name in ("", V1, V2)] == [SERVING] * 3
    assert f"serving {V2}, {V1}" in server.messages("INFO")


def test_both_are_answered_each_in_its_own_terms(server: Server, clients: Clients) -> None:
    old, new = clients.v1(server, amount=2.5), clients.v2(server, cents=250)
    assert (old.result().total, new.result().total) == (2.5, 250)


def batches_of(both: Shop, clients: Clients, **settings: str) -> list[list[str]]:
    """What the model gets when six requests of each version wait for one that it computes; each is answered."""
    with serving(both, MAX_IN_FLIGHT="13", MAX_IN_FLIGHT_PER_CONNECTION="13", **settings) as server:
        first = clients.v2(server, "wait")
        server.told.wait(lambda line: "wait" in line["batch"])
        calls = [clients.v1(server, "old") if turn % 2 else clients.v2(server, "new") for turn in range(12)]
        send = server.channel.unary_unary(f"/{V2}/Predict")
        full = grpc.StatusCode.RESOURCE_EXHAUSTED  # only then have all arrived
        while error_of(lambda: send(b"\xff", timeout=PATIENCE)).code() is not full:
            pass
        server.release()
        for call in (first, *calls):
            call.result()
        server.terminate()
        assert server.ended() == 0
        return [line["batch"] for line in server.told.ended()]


def test_requests_of_two_versions_are_never_in_one_batch(both: Shop, clients: Clients) -> None:
    batches = batches_of(both, clients)
    # The server warmed up both, each alone.
    assert sorted(batch for batch in batches if batch != ["sku"]) == [["new"] * 6, ["old"] * 6, ["wait"]]


def test_unbatched_methods_can_be_those_of_one_version(both: Shop, clients: Clients) -> None:
    batches = batches_of(both, clients, UNBATCHED_METHODS="v1.Predict")
    assert [batch for batch in batches if "old" in batch] == [["old"]] * 6
    assert ["new"] * 6 in batches


def test_a_bad_request_is_told_in_v1s_words(server: Server, clients: Clients) -> None:
    error = clients.v1(server, amount=-1, colour=9).exception()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violations(error) == [
        ("items[0].amount", "must be from 0 to 1000; got -1.0"),
        ("colour", "must be one of COLOUR_RED, COLOUR_GREEN; got 9"),
    ]


def test_what_the_model_refuses_has_v1s_paths(server: Server, clients: Clients) -> None:
    assert violations(clients.v1(server, amount=666).exception()) == [("items[0].amount", "is a bad number")]
    assert violations(clients.v2(server, cents=66600).exception()) == [("items[0].cents", "is a bad number")]
    # v1 has no currency: then it is the request as a whole.
    assert violations(clients.v1(server, "foreign").exception()) == [("", "is not sold for")]
    assert violations(clients.v2(server, "foreign").exception()) == [("currency", "is not sold for")]


def test_a_value_that_v1_has_not_is_what_the_author_says(server: Server, clients: Clients) -> None:
    assert clients.v2(server, "wrong colour").result().colour == 3
    assert clients.v1(server, "wrong colour").result().colour == 2


def edited(shop: Shop, folder: Path, name: str, *edits: tuple[str, str]) -> Shop:
    copy = shop.copy(folder / "shop")
    text = (copy.path / name).read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    copy.write(name, text)
    return copy


def test_wrong_steps_are_the_servers_fault_and_one_line_of_its_log(
    both: Shop, clients: Clients, tmp_path: Path
) -> None:
    """A request that breaks v2, a reply that breaks v1, and an exception: the warm-up passes, some requests do not."""
    shop = edited(
        both,
        tmp_path,
        "src/shop/upgrade/v1.py",
        ("return round(value.amount * 100)", 'return -1 if value.sku == "up" else 1 // (value.sku != "raise") * 100'),
        ("return response.total / 100", "return -1.0 if response.total == 300 else response.total / 100"),
    )
    with serving(shop) as server:
        for sku in ("up", "raise"):
            assert clients.v1(server, sku).exception().code() is grpc.StatusCode.INTERNAL
        three = clients.message(
            "v1.PredictRequest", items=[clients.message("v1.Item", sku="s", amount=1)] * 3, colour=1
        )
        error = clients.call(server, "v1", "Predict", three).exception()
        assert (error.code(), error.details()) == (
            grpc.StatusCode.INTERNAL,
            "the server failed to answer this request",
        )
        assert clients.v2(server).result().total == 100
        server.terminate()
        assert server.ended() == 0
        lines = [line for line in server.log.ended() if line["level"] == "ERROR"]
    told = [line["message"].partition("): ")[2] for line in lines]
    assert told == [
        "the v2 request that Carried.predict_request made is wrong: "
        "items[0].cents: wanted int from 0 to 100000, got -1 (int)",
        "ZeroDivisionError('integer division or modulo by zero')",
        "the model's reply is wrong: total: wanted float64 at least 0, got -1.0 (float)",
    ]
    assert {line["method"] for line in lines} == {"v1.Predict"}


def test_an_upgrade_that_fails_its_warm_up_is_never_serving(both: Shop, tmp_path: Path) -> None:
    shop = edited(both, tmp_path, "src/shop/upgrade/v1.py", ('return "EUR"', 'return "euro"'))
    with starting(shop) as server:
        assert server.ended() == 1
        assert server.messages("CRITICAL").startswith("the warm-up request of v1.Predict failed: ")
        assert "currency: wanted str of exactly 3 characters, got 4 characters" in server.messages("ERROR")
        assert "serving" not in server.messages("INFO")


def test_a_retired_method_can_be_refused(both: Shop, clients: Clients, tmp_path: Path) -> None:
    answer = "return [v1.ExplainResponse(text=model.explain_v1(request.text)) for request in batch]"
    imported = "from ..contract import v1, v2"
    edits = ((answer, 'raise Retired("ended")'), (imported, "from ..contract import Retired, v1, v2"))
    shop = edited(both, tmp_path, "src/shop/upgrade/v1.py", *edits)
    with serving(shop) as server:
        error = clients.call(server, "v1", "Explain", clients.message("v1.ExplainRequest", text="x")).exception()
        assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "ended")
        assert clients.v1(server).result().total == 1
        assert server.health(V1) == SERVING
        address = f"127.0.0.1:{server.port}"
        code, report = verify(address, "--project", str(shop.path), "--only", "serialization,health-serving")
    assert (code, checks_with(report, "fail")) == (0, {})
    assert 'with the text "ended". The contract of v1 still promises' in checks_with(report, "warn")["implemented"]
    assert "Predict" in checks_with(report, "pass")["serialization"]
    shop.python("-m", "pytest", "-q", "tests/test_smoke.py", "-k", "sample or health", "-p", "no:cacheprovider")


def test_a_method_of_the_newest_version_cannot_be_retired(both: Shop, tmp_path: Path) -> None:
    shop = edited(
        both,
        tmp_path,
        "src/shop/model.py",
        (
            "        for index in range(request.until):",
            "        raise Retired('x')\n        for index in range(request.until):",
        ),
        ("    Colour,", "    Colour, Retired,"),
    )
    with starting(shop) as server:
        assert server.ended() == 1
        assert "the warm-up request of v2.Count failed: x" in server.messages("CRITICAL")
