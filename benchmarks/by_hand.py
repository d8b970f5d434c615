"""The iris service as one would write it by hand, to measure the generated server against: `by_hand.py [aio|sync]`.

Run in a generated project, with its `src` on the path; MODEL_PATH names the artifact. It checks nothing, limits
nothing, and has no health, no drain and no batching. `aio` runs the model in an executor, as grpc.aio's loop must not
wait for it; `sync` has the ten threads of gRPC's own examples. Prints a line when it serves.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from iris.v1 import prediction_pb2, prediction_pb2_grpc

sys.path.insert(0, str(Path(__file__).resolve().parent / "peer_servers"))

import rows_model


class PredictionService(prediction_pb2_grpc.PredictionServiceServicer):
    def __init__(self) -> None:
        self.model = rows_model.load()

    def Predict(self, request: Any, context: Any) -> Any:
        row = [request.sepal_length, request.sepal_width, request.petal_length, request.petal_width]
        outputs = self.model(np.array([row]))[0]
        return prediction_pb2.PredictResponse(species=int(outputs.argmax()) + 1, probabilities=outputs.tolist())


class AsyncPredictionService(PredictionService):
    def __init__(self) -> None:
        super().__init__()
        self.executor = ThreadPoolExecutor(max_workers=1)

    async def Predict(self, request: Any, context: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, super().Predict, request, context)


async def serve_async() -> None:
    server = grpc.aio.server()
    prediction_pb2_grpc.add_PredictionServiceServicer_to_server(AsyncPredictionService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say_serving(port)
    await server.wait_for_termination()


def serve_sync() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=10))
    prediction_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say_serving(port)
    server.wait_for_termination()


def say_serving(port: int) -> None:
    print(f"serving on port {port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["sync"]:
        serve_sync()
    else:
        asyncio.run(serve_async())
