"""MLServer, as its documentation shows a custom runtime."""

from __future__ import annotations

import rows_model
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Iris(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        self.model = rows_model.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = self.model(self.decode(payload.inputs[0], default_codec=NumpyCodec))
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name="probabilities", payload=outputs)]
        )
