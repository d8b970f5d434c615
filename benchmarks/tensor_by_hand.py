"""A server as one would write it by hand with grpc.aio for a large tensor in a bytes field: see benchmarks/rows.py.

Run in the project that rows.py makes, with its `src` on the path. It reads the bytes as float32 and answers with the
last of them; it checks nothing, limits nothing, and has no health, no drain and no batching. Prints a line when it
serves.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from tensors.v1 import prediction_pb2, prediction_pb2_grpc


class PredictionService(prediction_pb2_grpc.PredictionServiceServicer):
    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(max_workers=1)

    async def Bytes(self, request: Any, context: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.answer, request)

    async def MakeBytes(self, request: Any, context: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.make, request)

    def answer(self, request: Any) -> Any:
        pixels = np.frombuffer(request.pixels, "<f4").reshape(1, 3, 224, 224)
        return prediction_pb2.BytesResponse(last=pixels[-1, -1, -1, -1])

    def make(self, request: Any) -> Any:
        pixels = np.full((1, 3, 224, 224), request.value, np.float32)
        return prediction_pb2.MakeBytesResponse(pixels=pixels.tobytes())


async def main() -> None:
    server = grpc.aio.server()
    prediction_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on port {port}", file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
