"""The core without a transport: requests come from any thread, and each gets one end."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from serving import Probe
from support import ROOT

SERVER = ROOT / "template/src/{{package}}/server"

THREADS = """\
import asyncio, dataclasses, json, math, random, threading, time
from types import SimpleNamespace
from probe import contract
from probe.server.core.admission import Admission
from probe.server.core.exchanges import Exchanges, Limits, UnaryExchange
from probe.server.core.model_thread import ModelThread
from probe.server.core.runners import LoadedModel
from probe.server.core.state import ServerState

def decode(data):
    if data == b"bad":
        raise contract.InvalidRequest("must not be bad")
    return len(data)

method = dataclasses.replace(
    contract.METHODS[0],
    decode=decode,
    encode=lambda reply: str(reply).encode(),
    count=lambda data: SimpleNamespace(elements=len(data) % 70_000, step=lambda: False),
)
KINDS = {"short": b"x", "bad": b"bad", "long": bytes(2000), "large": bytes(70_000)}
asked, limits = [], Limits(max_in_flight=10**6, max_in_flight_bytes=10**9, max_request_elements=10**6)

def bring(exchanges, seed):
    chance = random.Random(seed)
    for _ in range(200):
        kind, ends = chance.choice(list(KINDS)), []
        exchange = UnaryExchange(method=method, deadline=math.inf, request_ids=[""], on_end=ends.append)
        exchanges.begin(exchange, KINDS[kind])
        asked.append((kind, chance.random() < 0.3 and exchanges.cancel(exchange), ends))

async def main():
    model = LoadedModel({method.path: list})
    thread = ModelThread(lambda: model, lambda event: None, lambda *_: None, lambda: None, {method.path: 8})
    admission = Admission(ServerState(), limits.max_in_flight)
    exchanges = Exchanges(ServerState(), lambda method: thread, admission, limits, lambda: None)
    thread.start()
    await asyncio.gather(*(asyncio.to_thread(bring, exchanges, seed) for seed in range(8)))
    while admission.held_requests or exchanges.memory.reserved_bytes:
        await asyncio.sleep(0.01)

asyncio.run(main())
for kind, is_cancelled, ends in asked:
    assert len(ends) == (not is_cancelled), (kind, is_cancelled, ends)
    for end in ends:
        assert isinstance(end, contract.InvalidRequest) if kind == "bad" else end == [str(len(KINDS[kind])).encode()]
print(json.dumps({kind: sum(each[0] == kind for each in asked) for kind in KINDS}))
"""


def test_each_request_gets_one_end_whichever_threads_bring_and_cancel_them(probe: Probe) -> None:
    """Nothing is counted any more when all have ended; that the loop ends says so."""
    counts = json.loads(probe.python("-c", THREADS).stdout)
    assert sum(counts.values()) == 1600
    assert min(counts.values()) > 300


def test_the_core_knows_no_transport_and_no_transport_another() -> None:
    """What is written once for all of them stays so."""
    for path in SERVER.glob("core/*.py"):
        known = {part for name in imports(path) for part in name.split(".")}
        assert known.isdisjoint(("grpc", "http", "aiohttp", "google", "transports", "adapters", "platforms")), path
    folders = [path.parent.name for path in SERVER.glob("transports/*/__init__.py")]
    assert "grpcio" in folders
    for folder in folders:
        others = [f"server.transports.{other}" for other in folders if other != folder]
        for path in SERVER.glob(f"transports/{folder}/*.py"):
            assert not [name for name in imports(path) if name.startswith(tuple(others))]
    lifecycle = {name for name in imports(SERVER / "lifecycle.py") if "grpc" in name or "transports" in name}
    assert lifecycle == {"server.transports", "server.transports.Transport", "server.transports.transport_class"}


def imports(path: Path) -> Iterator[str]:
    """The full names of all that a module imports, from the package on."""
    package = path.relative_to(SERVER.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
