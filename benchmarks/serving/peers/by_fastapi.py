"""A hand-written server as people write it: FastAPI and ONNX Runtime. Run: PROGRAM MODEL PORT"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
app = FastAPI()


class Body(BaseModel):
    x: list[list[float]]


@app.post("/predict")
async def predict(body: Body) -> dict[str, list[list[float]]]:
    rows = np.array(body.x, dtype=np.float32)
    return {"probabilities": session.run(None, {name: rows})[1].tolist()}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
