"""The iris service as one would write it by hand with grpc.aio, to measure the generated server against.

Run in a generated project, with its `src` on the path. It makes the same model call in an executor; it checks nothing,
limits nothing, and has no health, no drain and no batching. Prints a line when it serves.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import skops.io
from iris.v1 import prediction_pb2, prediction_pb2_grpc


class PredictionService(prediction_pb2_grpc.PredictionServiceServicer):
    def __init__(self, artifact: Path) -> None:
        self.estimator = skops.io.load(artifact)
        self.executor = ThreadPoolExecutor(max_workers=1)

    async def Predict(self, request: Any, context: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.answer, request)

    def answer(self, request: Any) -> Any:
        row = [request.sepal_length, request.sepal_width, request.petal_length, request.petal_width]
        outputs = self.estimator.predict_proba(np.array([row]))[0]
        return prediction_pb2.PredictResponse(species=int(outputs.argmax()) + 1, probabilities=outputs.tolist())


async def main() -> None:
    server = grpc.aio.server()
    service = PredictionService(Path("artifacts/model.skops"))
    prediction_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on port {port}", file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
