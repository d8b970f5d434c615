"""LitServe, as its documentation shows it, with batches: `litserve_server.py HTTP_PORT`."""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
import rows_model


class Iris(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.model = rows_model.load()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation would be a schema for FastAPI
        return np.array(request["row"])

    def predict(self, rows: Any) -> Any:
        return self.model(rows)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Iris(max_batch_size=32), accelerator="cpu", workers_per_device=1)
    settings = {"num_api_servers": 1, "generate_client_file": False, "access_log": False}
    server.run(host="127.0.0.1", port=int(sys.argv[1]), **settings)
