"""Ray Serve with ONNX Runtime and batching. Run: PROGRAM MODEL PORT"""

import signal
import sys
from typing import Any

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Model:
    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.name = self.session.get_inputs()[0].name

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def answer(self, asked: list[Any]) -> list[Any]:
        sizes = [len(rows) for rows in asked]
        found = self.session.run(None, {self.name: np.concatenate(asked)})[1]
        return np.split(found, np.cumsum(sizes)[:-1])

    async def __call__(self, request: Request) -> dict[str, Any]:
        rows = np.array((await request.json())["x"], dtype=np.float32)
        return {"probabilities": (await self.answer(rows)).tolist()}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that Ray ends what it started
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Model.bind(sys.argv[1]), route_prefix="/predict")  # type: ignore[attr-defined]
    signal.pause()
