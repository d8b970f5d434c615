"""PyTriton, as its documentation shows it, with dynamic batching.

`pytriton_server.py HTTP_PORT GRPC_PORT METRICS_PORT`
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import rows_model
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

http_port, grpc_port, metrics_port = map(int, sys.argv[1:])
model = rows_model.load()
DTYPE = model(np.array([[5.1, 3.5, 1.4, 0.2]])).dtype.type


@batch  # type: ignore[untyped-decorator]
def predict(rows: Any) -> dict[str, Any]:
    return {"probabilities": model(rows)}


config = TritonConfig(
    http_address="127.0.0.1",
    http_port=http_port,
    grpc_address="127.0.0.1",
    grpc_port=grpc_port,
    metrics_port=metrics_port,
)
with Triton(config=config) as triton:
    triton.bind(
        model_name="iris",
        infer_func=predict,
        inputs=[Tensor(name="rows", dtype=np.float64, shape=(4,))],
        outputs=[Tensor(name="probabilities", dtype=DTYPE, shape=(3,))],
        config=ModelConfig(max_batch_size=32),
    )
    triton.serve()
