"""The KServe SDK, as its documentation shows a custom predictor: `kserve_server.py HTTP_PORT GRPC_PORT`."""

from __future__ import annotations

import logging
import sys
from typing import Any

import kserve
import numpy as np
import rows_model


class Iris(kserve.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__("iris")
        self.model = rows_model.load()
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        if isinstance(payload, dict):  # version 1 of the protocol, which only HTTP has
            return {"predictions": self.model(np.array(payload["instances"])).tolist()}
        outputs = self.model(payload.inputs[0].as_numpy())
        datatype = "FP32" if outputs.dtype == np.float32 else "FP64"
        output = kserve.InferOutput("probabilities", list(outputs.shape), datatype)
        output.set_data_from_numpy(outputs, binary_data=payload.use_binary_outputs)
        return kserve.InferResponse(payload.id, self.name, [output])


if __name__ == "__main__":
    logging.disable(logging.INFO)  # a few lines for each request
    http_port, grpc_port = map(int, sys.argv[1:])
    kserve.ModelServer(http_port=http_port, grpc_port=grpc_port, workers=1, enable_latency_logging=False).start(
        [Iris()]
    )
