"""BentoML with ONNX Runtime; served by `bentoml serve by_bentoml:Model`, the model in MODEL."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Model:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.name = self.session.get_inputs()[0].name

    @bentoml.api
    def predict(self, x: list[list[float]]) -> list[list[float]]:
        rows = np.array(x, dtype=np.float32)
        found: list[list[float]] = self.session.run(None, {self.name: rows})[1].tolist()
        return found
