"""What users of boosters and networks do, with MLflow's own client.

Run as: client_frameworks.py ADDRESS. Frameworks that this Python does not have are passed over and
named; so is what only the whole of MLflow can do, and not its skinny client.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import time

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV


def main(address: str) -> None:
    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("frameworks")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client = MlflowClient()
    done = ["sklearn", "async"]
    grid_search(client)
    asynchronously(client)
    for name, needed, flow in (
        ("xgboost", "xgboost", xgboost),
        ("lightgbm", "lightgbm", lightgbm),
        ("pytorch", "torch", pytorch),
        ("system metrics", "psutil", system_metrics),
        ("evaluate", "matplotlib", evaluate),
    ):
        if importlib.util.find_spec(needed) is not None:
            flow(client)
            done.append(name)
    print("all done:", ", ".join(done))


def _rows() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(7)
    x = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc"))
    return x, (x.a + 0.3 * x.b > 0).to_numpy().astype(int)


def _newest(client: MlflowClient) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name("frameworks").experiment_id
    found = client.search_runs([experiment], "tags.`mlflow.parentRunId` IS NULL", max_results=1)
    return found[0]


def grid_search(client: MlflowClient) -> None:
    x, y = _rows()
    mlflow.sklearn.autolog(log_models=True, max_tuning_runs=3)
    grid = {"n_estimators": [3, 5], "max_depth": [2]}
    GridSearchCV(RandomForestClassifier(random_state=1), grid, cv=2).fit(x, y)
    run = _newest(client)
    assert run.data.params["best_n_estimators"] in {"3", "5"}
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    assert len(children) == 2, children
    best = next(m.model_id for m in run.outputs.model_outputs)
    assert client.get_logged_model(best).status.value == "READY"
    mlflow.sklearn.autolog(disable=True)


def asynchronously(client: MlflowClient) -> None:
    mlflow.config.enable_async_logging()
    with mlflow.start_run() as run:
        for step in range(300):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_params({f"p{i}": i for i in range(50)})
    mlflow.flush_async_logging()
    mlflow.config.enable_async_logging(False)
    kept = client.get_metric_history(run.info.run_id, "loss")
    assert [m.step for m in kept] == list(range(300))
    assert len(client.get_run(run.info.run_id).data.params) == 50


def xgboost(client: MlflowClient) -> None:
    import xgboost as xgb

    x, y = _rows()
    mlflow.xgboost.autolog(registered_model_name="boosted")
    data = xgb.DMatrix(x, y)
    xgb.train({"objective": "binary:logistic", "max_depth": 2}, data, 5, evals=[(data, "train")])
    run = _newest(client)
    assert run.data.params["max_depth"] == "2"
    history = client.get_metric_history(run.info.run_id, "train-logloss")
    assert [m.step for m in history] == [0, 1, 2, 3, 4]
    loaded = mlflow.xgboost.load_model("models:/boosted/1")
    assert np.allclose(loaded.predict(data), loaded.predict(data))
    mlflow.xgboost.autolog(disable=True)


def lightgbm(client: MlflowClient) -> None:
    import lightgbm as lgb

    x, y = _rows()
    mlflow.lightgbm.autolog()
    data = lgb.Dataset(x, y, free_raw_data=False)
    lgb.train({"objective": "binary", "verbose": -1}, data, 5, valid_sets=[data])
    run = _newest(client)
    assert run.data.params["objective"] == "binary"
    model_id = run.outputs.model_outputs[0].model_id
    loaded = mlflow.lightgbm.load_model(f"models:/{model_id}")
    assert loaded.predict(x).shape == (200,)
    mlflow.lightgbm.autolog(disable=True)


def pytorch(client: MlflowClient) -> None:
    import torch

    x, _ = _rows()
    mlflow.pytorch.autolog()
    net = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Sigmoid())
    with mlflow.start_run() as run:
        for epoch in range(3):
            mlflow.log_metric("loss", 1.0 / (epoch + 1), step=epoch)
        rows = x.to_numpy(dtype=np.float32)
        info = mlflow.pytorch.log_model(
            net, name="net", pip_requirements=["torch"], input_example=rows
        )
    loaded = mlflow.pytorch.load_model(info.model_uri)
    assert torch.allclose(loaded(torch.tensor(rows)), net(torch.tensor(rows)))
    assert client.get_run(run.info.run_id).outputs.model_outputs[0].model_id == info.model_id
    mlflow.pytorch.autolog(disable=True)


def system_metrics(client: MlflowClient) -> None:
    mlflow.set_system_metrics_sampling_interval(0.2)
    mlflow.set_system_metrics_samples_before_logging(1)
    with mlflow.start_run(log_system_metrics=True) as run:
        deadline = time.monotonic() + 20
        wanted = "system/cpu_utilization_percentage"
        while wanted not in client.get_run(run.info.run_id).data.metrics:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert client.get_metric_history(run.info.run_id, wanted)


def evaluate(client: MlflowClient) -> None:
    x, y = _rows()
    with mlflow.start_run() as run:
        fitted = LogisticRegression().fit(x, y)
        info = mlflow.sklearn.log_model(fitted, name="m", pip_requirements=["scikit-learn"])
        told = mlflow.models.evaluate(
            info.model_uri,
            x.assign(label=y),
            targets="label",
            model_type="classifier",
            evaluator_config={"log_explainer": False},
        )
    assert told.metrics["accuracy_score"] > 0.5
    kept = client.get_run(run.info.run_id)
    assert kept.data.metrics["accuracy_score"] == told.metrics["accuracy_score"]
    assert any(f.path.endswith(".png") for f in client.list_artifacts(run.info.run_id))
    points = client.get_logged_model(info.model_id).metrics
    assert any(m.key == "accuracy_score" and m.dataset_name for m in points)


if __name__ == "__main__":
    main(sys.argv[1])
