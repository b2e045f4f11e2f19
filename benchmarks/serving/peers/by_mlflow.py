"""MLflow's model of a graph in ONNX Runtime; `mlflow.pyfunc.save_model` is given this file."""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
import onnxruntime
from mlflow.pyfunc import PythonModel, PythonModelContext


class OnnxModel(PythonModel):  # type: ignore[misc]
    def load_context(self, context: PythonModelContext) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            context.artifacts["model"], options, providers=["CPUExecutionProvider"]
        )
        self.name = self.session.get_inputs()[0].name

    def predict(self, context: PythonModelContext, model_input: Any, params: Any = None) -> Any:
        rows = np.asarray(model_input, dtype=np.float32)
        return self.session.run(None, {self.name: rows})[1]


mlflow.models.set_model(OnnxModel())
