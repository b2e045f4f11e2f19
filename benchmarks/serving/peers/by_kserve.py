"""KServe's model server with ONNX Runtime. Run: PROGRAM MODEL PORT"""

from __future__ import annotations

import sys
from typing import Any

import kserve
import numpy as np
import onnxruntime


class Model(kserve.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__("bench")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            MODEL, options, providers=["CPUExecutionProvider"]
        )
        self.name_of_input = self.session.get_inputs()[0].name
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        rows = payload.inputs[0].as_numpy().astype(np.float32)
        found = self.session.run(None, {self.name_of_input: rows})[1]
        output = kserve.InferOutput(
            "probabilities", list(found.shape), "FP32", data=found.ravel().tolist()
        )
        return kserve.InferResponse(payload.id or "", "bench", [output])


if __name__ == "__main__":
    MODEL, port = sys.argv[1:3]
    server = kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1)
    server.start([Model()])
