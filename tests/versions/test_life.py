"""A project lives through v1, v2 and v3, then drops v1; the client that was written for v1 goes on as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving import PATIENCE, SERVING, Lines, Server, error_of, serving, starting
from support import run, tool
from versions.the_shop import MODEL_V2, MODEL_V3, TO_V2, TO_V3, UPGRADE_V1, UPGRADE_V2, Shop, model

CLIENT = Path(__file__).with_name("old_client.py")
USUAL = {"predict answered", "count answered", "bad refused", "explain answered"}
NAMES = "(\n    {}CountRequest, CountResponse, InvalidRequest, PredictRequest, PredictResponse\n)"


class OldClient:
    """The process of v1's client, under load from its start to `end`."""

    def __init__(self, stubs: Path, server: Server) -> None:
        command = [sys.executable, str(CLIENT), str(stubs), f"127.0.0.1:{server.port}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.lines = Lines(self.process.stdout)

    def until_busy(self) -> OldClient:
        self.lines.wait(lambda line: "busy" in line)
        return self

    def end(self) -> set[str]:
        """What it met."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0
        return set(self.lines.wait(lambda line: "met" in line)[0]["met"])


@contextmanager
def old_client(shop: Shop, server: Server) -> Iterator[OldClient]:
    client = OldClient(shop.stubs, server)
    try:
        yield client
    finally:
        client.process.kill()
        client.process.wait()


def format_and_check(shop: Shop, *, tested: bool = True) -> None:
    """What `make check` does, but for the Dockerfile, and where it is not `tested` for the project's own tests."""
    run([tool("ruff"), "check", "--quiet", "--fix", "--select=I", "."], cwd=shop.path)
    run([tool("ruff"), "format", "--quiet", "."], cwd=shop.path)
    shop.python("scripts/generate.py", "--check")
    run([tool("ruff"), "check", "."], cwd=shop.path)
    shop.python("-m", "mypy")
    run([tool("buf"), "lint"], cwd=shop.path)
    run([tool("buf"), "format", "--diff", "--exit-code"], cwd=shop.path)
    if tested:
        shop.python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    shop.commit()


def asked(shop: Shop) -> list[str]:
    """Generates; what the author is asked for, besides what is said of the contract."""
    told = shop.python("scripts/generate.py").stderr.splitlines()
    return [line.removeprefix("protoserve: ") for line in told if line.startswith("protoserve: src/")]


def drained_under_load(shop: Shop) -> set[str]:
    """What the old client meets of a server that is stopped while it asks; the server ends well."""
    with serving(shop, LAME_DUCK_SECONDS="0.3") as server, old_client(shop, server) as client:
        client.until_busy()
        server.terminate()
        assert server.ended() == 0
        return client.end()


@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.slow
def test_a_client_of_v1_lives_through_v2_and_v3(first_shop: Shop, tmp_path: Path) -> None:
    shop = first_shop.copy(tmp_path / "shop")
    with serving(shop) as server, old_client(shop, server) as client:
        client.until_busy()
        assert client.end() == USUAL

    # v2 begins as a copy, and v1 is answered through it before anybody wrote a line.
    done = shop.python("scripts/generate.py", "version", "v2")
    assert "wrote schemas/v1.yaml" in done.stdout
    shop.commit()
    with serving(shop) as server, old_client(shop, server) as client:
        client.until_busy()
        assert client.end() == USUAL

    # Then it changes: what cannot be carried over is told by the generator, the type checker and the server.
    shop.edit(*TO_V2)
    told = asked(shop)
    needed = [
        "item_to_v2_cents(self, value: v1.Item, /) -> int`",
        "predict_request_currency(self, request: v1.PredictRequest, /) -> str`",
        "predict_response_total(self, response: v2.PredictResponse, /) -> float`",
        "colour_to_v1_else(self, value: v2.Colour, /) -> v1.Colour`",
        "explain(self, model: Model, batch: Sequence[v1.ExplainRequest], /) -> Sequence[v1.ExplainResponse]`",
    ]
    assert [line.partition(". ")[0] for line in told] == [
        f"src/shop/upgrade/v1.py: write `def {name}" for name in needed
    ]
    shop.write("src/shop/model.py", model("v2", MODEL_V2, NAMES.format("Colour, ")))
    wrong = shop.python("-m", "mypy", check=False).stdout
    assert 'Final class shop.upgrade.v1.Upgrade has abstract attributes "colour_to_v1_else"' in wrong
    with starting(shop) as server:
        assert server.ended() == 1
        (critical,) = (line["message"] for line in server.log.ended() if line["level"] == "CRITICAL")
        assert "write colour_to_v1_else, explain, item_to_v2_cents, predict_request_currency" in critical
        assert "serving" not in server.messages("INFO")
    shop.write("src/shop/upgrade/v1.py", UPGRADE_V1)
    assert asked(shop) == []
    format_and_check(shop, tested=False)  # v3 is, which has the same step
    met = drained_under_load(shop)
    assert met >= USUAL
    assert all(outcome in USUAL or " UNAVAILABLE: " in outcome for outcome in met), met

    # v1 reaches v3 through v2; a limit that became narrower is refused in v1's words by v2's upgrade.
    shop.python("scripts/generate.py", "version", "v3")
    shop.commit()
    shop.edit(*TO_V3)
    (line,) = asked(shop)
    assert "count_request_limit" in line
    shop.write("src/shop/model.py", model("v3", MODEL_V3, NAMES.format("Colour, ")))
    shop.write("src/shop/upgrade/v2.py", UPGRADE_V2)
    format_and_check(shop)
    met = drained_under_load(shop)
    assert met >= USUAL
    assert all(outcome in USUAL or " UNAVAILABLE: " in outcome for outcome in met), met

    # v1 is dropped: its callers are told, all others go on.
    done = shop.python("scripts/generate.py", "version", "--drop", "v1")
    assert "removed schemas/v1.yaml" in done.stdout
    assert "src/shop/upgrade/v1.py had item_to_v2_cents, " in done.stdout
    format_and_check(shop)
    with serving(shop) as server, old_client(shop, server) as client:
        assert {outcome.split(" ", 1)[1] for outcome in client.end()} == {"UNIMPLEMENTED: Method not found!"}
        assert server.health("shop.v2.ShopService") == server.health("shop.v3.ShopService") == SERVING
        assert error_of(lambda: server.health("shop.v1.ShopService")).code().name == "NOT_FOUND"
        reply = shop.python("scripts/predict.py", "v2.Predict", "--target", f"127.0.0.1:{server.port}")
        assert json.loads(reply.stdout)["colour"] == "COLOUR_RED"
