"""The model that everyone serves, and requests for it in each server's own words."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack

NAME = "bench"
NAMES = [f"f{i}" for i in range(20)]


def prepare(home: Path) -> None:
    """Train, pack for Tidemill, save as ONNX for the peers, and write request bodies."""
    values, target = make_classification(20000, 20, n_informative=12, random_state=0)
    frame = pl.DataFrame(values, schema=NAMES)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    with threadpool_limits(1):  # Threads that spin for each other are slow on a busy machine.
        model.fit(frame.to_pandas(), target)
    for name in (NAME, "again"):
        pack(
            model,
            name=name,
            task="binary",
            contract=Contract(columns=tuple(Column(name=n, type="float") for n in NAMES)),
            sample=frame[:500],
            folder=home / "bundles" / name,
            created=datetime.now(UTC),
        )
    joblib.dump(model, home / "model.joblib")
    _save_onnx(model, values, home / "model.onnx")
    for rows in (1, 1000):
        _write_bodies(home, values[:rows].round(4))


def _save_onnx(model: Any, values: Any, path: Path) -> None:
    from skl2onnx import to_onnx

    graph = to_onnx(model, values[:1].astype(np.float32), options={"zipmap": False})
    path.write_bytes(graph.SerializeToString())


def _write_bodies(home: Path, some: Any) -> None:
    rows = len(some)
    matrix = {"name": "x", "shape": [rows, 20], "datatype": "FP32"}
    flat = some.ravel().tolist()
    bodies: dict[str, Any] = {
        "json": {"inputs": [matrix | {"data": flat}]},
        "columns": {
            "inputs": [
                {"name": n, "shape": [rows], "datatype": "FP64", "data": some[:, i].tolist()}
                for i, n in enumerate(NAMES)
            ]
        },
        "split": {"dataframe_split": {"columns": NAMES, "data": some.tolist()}},
        "bare": {"x": some.tolist()},
    }
    for name, body in bodies.items():
        (home / f"{name}_{rows}").write_text(json.dumps(body))
    raw = some.astype("<f4").tobytes()
    sized = matrix | {"parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [sized], "parameters": {"binary_data_output": True}}).encode()
    (home / f"binary_{rows}").write_bytes(head + raw)
    (home / f"binary_{rows}.head").write_text(str(len(head)))
    (home / f"grpc_{rows}").write_bytes(_framed(some))


def _framed(some: Any) -> bytes:
    """Return a gRPC request as it stands in HTTP/2's data."""
    from tidemill.serving.worker.doors.oip_messages import build

    messages = build()
    message = messages["ModelInferRequest"](
        model_name=NAME,
        inputs=[messages["InferInputTensor"](name="x", datatype="FP32", shape=some.shape)],
        raw_input_contents=[some.astype("<f4").tobytes()],
    ).SerializeToString()
    return struct.pack(">BI", 0, len(message)) + bytes(message)
