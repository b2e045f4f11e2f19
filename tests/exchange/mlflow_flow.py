"""Fills an MLflow, and tells what one holds. Run as: mlflow_flow.py make|describe URI."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, ViewType
from sklearn.linear_model import LogisticRegression

STEPS = 1500
PLAIN: dict[str, Any] = {"pip_requirements": ["scikit-learn"]}
"""Otherwise MLflow loads each model in a process of its own to see what it imports."""


def make(client: MlflowClient) -> None:
    mlflow.set_experiment("tides")
    mlflow.set_experiment_tag("team", "ocean")
    mlflow.set_registry_uri(mlflow.get_tracking_uri())
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    frame = pd.DataFrame({"x": [1, 2]})
    with mlflow.start_run(run_name="parent", tags={"ü": "tag\nof two lines"}) as parent:
        mlflow.log_params({"lr": 0.1, "path/like": "x" * 500})
        mlflow.log_metric("nan", float("nan"), step=3)
        mlflow.log_metric("inf", float("inf"))
        mlflow.log_metric("val/loss at 5", 1e-300, step=-2)
        points = [Metric("long", i / 7, 1_700_000_000_000 + i, i) for i in range(STEPS)]
        for start in range(0, STEPS, 500):
            client.log_batch(parent.info.run_id, metrics=points[start : start + 500])
        mlflow.log_text("hello", "notes/ä b.txt")
        mlflow.log_text("", "empty.txt")
        mlflow.log_input(mlflow.data.from_pandas(frame, name="rows"), context="training")
        mlflow.sklearn.log_model(model, name="clf", registered_model_name="flood", **PLAIN)
        with mlflow.start_run(nested=True, run_name="child"):
            mlflow.log_metric("m", 1.0)
            mlflow.sklearn.log_model(model, name="clf", registered_model_name="flood", **PLAIN)
    with mlflow.start_run(run_name="gone") as gone:
        mlflow.log_param("kept", "yes")
    client.delete_run(gone.info.run_id)
    lost = client.create_experiment("lost")
    client.create_run(lost)
    client.delete_experiment(lost)
    client.update_registered_model("flood", "Says when it floods.")
    client.set_registered_model_tag("flood", "owner", "me")
    client.set_registered_model_alias("flood", "champion", "1")
    client.set_registered_model_alias("flood", "challenger", "2")
    client.set_model_version_tag("flood", "1", "checked", "yes")
    client.update_model_version("flood", "1", "The first.")
    client.transition_model_version_stage("flood", "1", "Production")
    client.create_model_version("flood", f"{parent.info.artifact_uri}/notes", parent.info.run_id)
    client.create_registered_model("bare")


def describe(client: MlflowClient) -> dict[str, Any]:
    experiments = client.search_experiments(view_type=ViewType.ALL)
    ids = [e.experiment_id for e in experiments]
    runs = client.search_runs(ids, run_view_type=ViewType.ALL, max_results=1000)
    models = client.search_logged_models(ids)
    return {
        "experiments": {e.experiment_id: _experiment(e) for e in experiments},
        "runs": {r.info.run_id: _run(client, r) for r in runs},
        "models": {m.model_id: _logged(m) for m in models},
        "registered": {
            m.name: _registered(client, m.name) for m in client.search_registered_models()
        },
        "answers": _answers() if client.search_registered_models() else None,
    }


def _experiment(experiment: Any) -> dict[str, Any]:
    fields = ("name", "lifecycle_stage", "tags", "creation_time", "last_update_time")
    return {name: getattr(experiment, name) for name in fields}


def _run(client: MlflowClient, run: Any) -> dict[str, Any]:
    whole = ("experiment_id", "run_name", "user_id", "status", "lifecycle_stage")
    fields = [*whole, "start_time", "end_time"]
    keys = run.data.metrics
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in keys}
    inputs = [
        (d.dataset.to_dictionary(), {t.key: t.value for t in d.tags})
        for d in run.inputs.dataset_inputs
    ]
    outputs = [m.model_id for m in run.outputs.model_outputs]
    return {
        "info": {name: getattr(run.info, name) for name in fields},
        "params": run.data.params,
        "tags": run.data.tags,
        "histories": {
            key: sorted([p.step, p.timestamp, repr(p.value)] for p in points)
            for key, points in histories.items()
        },
        "inputs": inputs,
        "outputs": outputs,
        "files": _files(f"runs:/{run.info.run_id}/") if _listed(client, run) else {},
    }


def _listed(client: MlflowClient, run: Any) -> bool:
    return bool(client.list_artifacts(run.info.run_id))


def _logged(model: Any) -> dict[str, Any]:
    of_run = ("experiment_id", "source_run_id", "status")
    fields = [*of_run, "name", "creation_timestamp", "model_type"]
    metrics = [[m.key, m.step, m.timestamp, repr(m.value), m.run_id] for m in model.metrics or ()]
    found = {name: str(getattr(model, name) or "") for name in fields}
    # What a client adds to a model's tags when it is registered is written at another moment.
    return found | {
        "params": model.params,
        "tags": model.tags,
        "metrics": sorted(metrics),
        "files": _files(f"models:/{model.model_id}"),
    }


def _registered(client: MlflowClient, name: str) -> dict[str, Any]:
    model = client.get_registered_model(name)
    fields = ["description", "current_stage", "run_id", "tags", "creation_timestamp", "status"]
    versions = client.search_model_versions(f"name='{name}'")
    return {
        "description": model.description or "",
        "tags": model.tags,
        "aliases": {alias: str(version) for alias, version in model.aliases.items()},
        "created": model.creation_timestamp,
        "versions": {
            str(v.version): {f: getattr(v, f) or "" for f in fields}
            | {"files": _files(f"models:/{name}/{v.version}")}
            for v in versions
        },
    }


def _answers() -> list[float]:
    model = mlflow.pyfunc.load_model("models:/flood@champion")
    return [float(a) for a in model.predict(pd.DataFrame([[0.2], [0.9]]))]


def _files(uri: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        return {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "registered_model_meta"
        }


def main() -> None:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    what, uri = sys.argv[1:]
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient()
    if what == "make":
        make(client)
    else:
        print(json.dumps(describe(client), sort_keys=True, indent=1))


main()
