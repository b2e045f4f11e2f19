"""What users of boosters and networks do, with MLflow's own client.

Run as: client_frameworks.py ADDRESS [NAME ...]; without names, all is done. Frameworks that this
Python does not have are passed over; so is what only the whole of MLflow can do.
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


def main(address: str, *wanted: str) -> None:
    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("frameworks")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client = MlflowClient()
    done = []
    for name, needed, flow in (
        ("sklearn", "sklearn", grid_search),
        ("async", "sklearn", asynchronously),
        ("xgboost", "xgboost", xgboost),
        ("lightgbm", "lightgbm", lightgbm),
        ("pytorch", "torch", pytorch),
        ("system metrics", "psutil", system_metrics),
        ("evaluate", "matplotlib", evaluate),
    ):
        if importlib.util.find_spec(needed) is not None and name in (wanted or (name,)):
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

    x, y = _rows()
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
    lightning(client, x, y)


def lightning(client: MlflowClient, x: pd.DataFrame, y: np.ndarray) -> None:
    import lightning.pytorch as pl
    import torch

    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.layer(rows)

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            rows, wanted = batch
            logits = self.layer(rows).squeeze(1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    rows = torch.tensor(x.to_numpy(dtype=np.float32))
    data = torch.utils.data.TensorDataset(rows, torch.tensor(y, dtype=torch.float32))
    mlflow.pytorch.autolog(registered_model_name="network")
    trainer = pl.Trainer(
        max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    net = Net()
    with mlflow.start_run() as run:
        trainer.fit(net, torch.utils.data.DataLoader(data, batch_size=50))
    mlflow.pytorch.autolog(disable=True)
    kept = client.get_run(run.info.run_id)
    assert kept.data.params["optimizer_name"] == "SGD"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")]
    loaded = mlflow.pytorch.load_model("models:/network/1")
    with torch.no_grad():
        assert torch.allclose(loaded(rows), net(rows))


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
    main(*sys.argv[1:])
