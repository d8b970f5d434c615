"""The core without a transport: requests come from any thread, and each gets one end."""

from __future__ import annotations

import json

from serving import Probe

THREADS = """\
import asyncio, dataclasses, json, math, random, threading, time
from types import SimpleNamespace
from probe import contract
from probe.server.core.admission import Admission
from probe.server.core.exchanges import Exchanges, Limits, UnaryExchange
from probe.server.core.model_thread import LoadedModel, ModelThread
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
    exchanges = Exchanges(ServerState(), thread, admission, limits, lambda: None)
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
