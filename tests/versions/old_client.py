"""A client that was written when there was only v1, and knows nothing else: its stubs, and what it expects of replies.

    python old_client.py STUBS TARGET

It asks without pause, on several threads, and says on standard output what it met, a JSON line each: {"busy": true} as
soon as every kind of call was answered some times, and {"met": ...} at the end, when standard input is closed.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

STUBS, TARGET = sys.argv[1:]
sys.path.insert(0, STUBS)

from shop.v1 import prediction_pb2 as pb  # type: ignore[import-not-found]  # noqa: E402
from shop.v1 import prediction_pb2_grpc as services  # type: ignore[import-not-found]  # noqa: E402

ENOUGH = 20
stopping = threading.Event()
met: Counter[str] = Counter()
lock = threading.Lock()


def predict(stub: Any, turn: int) -> str:
    items = [pb.Item(sku=f"s{index}", amount=index + 0.25) for index in range(turn % 4 + 1)]
    request = pb.PredictRequest(items=items, colour=pb.COLOUR_GREEN if turn % 2 else pb.COLOUR_RED)
    reply = stub.Predict(request, timeout=30)
    wanted = sum(item.amount for item in items)
    assert abs(reply.total - wanted) < 1e-9, (reply, wanted)
    assert reply.colour == request.colour, reply
    return "answered"


def count(stub: Any, turn: int) -> str:
    until = turn % 5 + 1
    replies = [reply.index for reply in stub.Count(pb.CountRequest(until=until), timeout=30)]
    assert replies == list(range(until)), replies
    return "answered"


def bad(stub: Any, turn: int) -> str:
    """A request that breaks v1's contract, and one that the model refuses: both in v1's words."""
    items = [pb.Item(sku="s", amount=1), pb.Item(sku="s", amount=-1 if turn % 2 else 666)]
    call = stub.Predict.future(pb.PredictRequest(items=items, colour=pb.COLOUR_RED), timeout=30)
    error = call.exception()
    if error is None or error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
        call.result()
        return "answered"
    details = error_details_pb2.BadRequest()
    assert rpc_status.from_call(error).details[0].Unpack(details)
    told = [(item.field, item.description) for item in details.field_violations]
    wanted = "must be from 0 to 1000; got -1.0" if turn % 2 else "is a bad number"
    assert told == [("items[1].amount", wanted)], told
    return "refused"


def explain(stub: Any, turn: int) -> str:
    reply = stub.Explain(pb.ExplainRequest(text=f"why {turn}"), timeout=30)
    assert reply.text == f"because: why {turn}", reply
    return "answered"


def ask(stub: Any, kind: Callable[[Any, int], str]) -> None:
    turn = 0
    while not stopping.is_set():
        turn += 1
        try:
            outcome = kind(stub, turn)
        except grpc.RpcError as error:
            outcome = f"{error.code().name}: {error.details()}"
        except AssertionError as error:
            outcome = f"wrong: {error}"
        with lock:
            met[f"{kind.__name__} {outcome}"] += 1
            if all(met[name] >= ENOUGH for name in USUAL):
                announce()
        if outcome.startswith(("UNAVAILABLE", "UNIMPLEMENTED")):
            return


USUAL = ("predict answered", "count answered", "bad refused", "explain answered")
announced = False


def announce() -> None:
    global announced
    if not announced:
        announced = True
        print(json.dumps({"busy": True}), flush=True)


def main() -> None:
    with grpc.insecure_channel(TARGET, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = services.ShopServiceStub(channel)
        kinds = [predict, predict, predict, predict, count, count, bad, explain]
        threads = [threading.Thread(target=ask, args=(stub, kind)) for kind in kinds]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stopping.set()
        for thread in threads:
            thread.join()
    print(json.dumps({"met": met}), flush=True)


main()
