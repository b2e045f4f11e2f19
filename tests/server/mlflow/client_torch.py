"""Logs and registers a PyTorch model with MLflow's own client.

Run as: client_torch.py ADDRESS.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import version

import mlflow
import numpy as np
import torch


def main(address: str) -> None:
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    mlflow.set_experiment("models")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).eval()
    rows = np.random.default_rng(7).normal(size=(20, 3)).astype(np.float32)
    with torch.no_grad():
        answers = net(torch.from_numpy(rows)).numpy()
    needed = ("mlflow-skinny", "numpy", "pandas", "torch")
    mlflow.pytorch.log_model(
        net,
        name="net",
        signature=mlflow.models.infer_signature(rows, answers),
        input_example=rows[:5],
        registered_model_name="net",
        pip_requirements=[f"{name}=={version(name)}" for name in needed],
    )
    print(json.dumps({"rows": rows[:3].tolist(), "answers": answers[:3, 0].tolist()}))


if __name__ == "__main__":
    main(sys.argv[1])
