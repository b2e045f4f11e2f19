"""What a user of MLflow does, with MLflow's own client. Run as: client_flow.py ADDRESS."""

from __future__ import annotations

import logging
import math
import os
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LogisticRegression

BIG = 3_000_000


def main(address: str) -> None:
    mlflow.set_tracking_uri(address)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client = MlflowClient()
    runs(client)
    errors(client)
    experiments(client)
    models(client)
    autolog()
    registry(client)
    print("all done")


def runs(client: MlflowClient) -> None:
    experiment = mlflow.set_experiment("tides").experiment_id
    assert mlflow.set_experiment("tides").experiment_id == experiment
    with mlflow.start_run(run_name="r1", tags={"a": "b"}) as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"p1": 1, "p2": "x"})
        mlflow.log_metric("acc", 0.9, step=1)
        mlflow.log_metric("nan", math.nan)
        mlflow.log_metric("inf", math.inf)
        mlflow.log_metrics({"l": 1.0, "k": 2.0}, step=2)
        mlflow.log_metric("later", 1.0, synchronous=False).wait()
        mlflow.set_tags({"t": "1", "u": "2"})
        mlflow.delete_tag("t")
        log_files()
        with mlflow.start_run(nested=True, run_name="child") as child:
            mlflow.log_metric("m", 1)
    run_id = run.info.run_id
    kept = mlflow.get_run(run_id)
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", "r1")
    assert kept.data.params == {"lr": "0.1", "p1": "1", "p2": "x"}
    assert math.isnan(kept.data.metrics["nan"])
    assert kept.data.metrics["inf"] == sys.float_info.max
    assert kept.data.metrics["later"] == 1.0
    assert (kept.data.tags["a"], "t" in kept.data.tags) == ("b", False)
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run_id
    assert [m.value for m in client.get_metric_history(run_id, "acc")] == [0.9]
    read_files(client, run_id)
    query = (
        "metrics.acc > 0.5 and params.lr = '0.1' and tags.a = 'b' "
        "and attributes.status = 'FINISHED'"
    )
    found = client.search_runs([experiment], query, order_by=["metrics.acc DESC", "start_time"])
    assert [r.info.run_id for r in found] == [run_id]
    first = client.search_runs([experiment], max_results=1)
    second = client.search_runs([experiment], max_results=1, page_token=first.token)
    assert {r.info.run_id for r in [*first, *second]} == {run_id, child.info.run_id}
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    client.restore_run(run_id)


def log_files() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sub").mkdir()
        (folder / "x.txt").write_text("hello")
        (folder / "sub" / "y.bin").write_bytes(os.urandom(BIG))
        mlflow.log_artifact(str(folder / "x.txt"), "files")
        mlflow.log_artifacts(name, "folder")
    mlflow.log_dict({"a": 1}, "d.json")
    mlflow.log_text("text", "t.txt")


def read_files(client: MlflowClient, run_id: str) -> None:
    names = [f.path for f in client.list_artifacts(run_id)]
    assert names == ["d.json", "files", "folder", "t.txt"]
    below = [f.path for f in client.list_artifacts(run_id, "folder")]
    assert below == ["folder/sub", "folder/x.txt"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(client.download_artifacts(run_id, "folder", name))
        assert (folder / "x.txt").read_text() == "hello"
        assert (folder / "sub" / "y.bin").stat().st_size == BIG
    uri = client.get_run(run_id).info.artifact_uri
    assert mlflow.artifacts.load_text(f"{uri}/t.txt") == "text"


def errors(client: MlflowClient) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("lr", 1)
    for call, code, text in (
        (
            lambda: client.log_param(run.info.run_id, "lr", "9"),
            "INVALID_PARAMETER_VALUE",
            "Changing param values is not allowed",
        ),
        (lambda: client.get_run("abc"), "RESOURCE_DOES_NOT_EXIST", "Run with id=abc not found"),
        (lambda: client.create_experiment("tides"), "RESOURCE_ALREADY_EXISTS", "already exists"),
        (lambda: client.search_runs(["0"], "foo bar"), "INVALID_PARAMETER_VALUE", "Invalid clause"),
    ):
        with pytest.raises(MlflowException, match=text) as caught:
            call()
        assert caught.value.error_code == code, caught.value


def experiments(client: MlflowClient) -> None:
    made = client.create_experiment("to-go", tags={"k": "v"})
    assert client.get_experiment(made).tags == {"k": "v"}
    client.set_experiment_tag(made, "k", "w")
    client.rename_experiment(made, "gone")
    assert client.get_experiment_by_name("to-go") is None
    client.delete_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    client.restore_experiment(made)
    found = client.search_experiments(filter_string="name LIKE 'go%'", order_by=["name ASC"])
    assert [e.experiment_id for e in found] == [made]
    run = client.create_run(made)
    client.set_terminated(run.info.run_id, "KILLED")
    assert client.get_run(run.info.run_id).info.status == "KILLED"
    assert client.get_experiment("0").name == "Default"


def _rows() -> tuple[pd.DataFrame, pd.Series]:
    x = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1]})
    return x, (x.a > 9).astype(int)


def models(client: MlflowClient) -> None:
    experiment = mlflow.set_experiment("models").experiment_id
    x, y = _rows()
    with mlflow.start_run() as run:
        data = mlflow.data.from_pandas(x, name="train")
        mlflow.log_input(data, context="training", tags={"k": "v"})
        fitted = LogisticRegression().fit(x, y)
        info = mlflow.sklearn.log_model(
            fitted, name="model", params={"C": "1.0"}, pip_requirements=["scikit-learn"]
        )
        mlflow.log_metric("auc", 0.8, model_id=info.model_id)
    run_id, model_id = run.info.run_id, info.model_id
    kept = mlflow.get_run(run_id)
    assert kept.inputs.dataset_inputs[0].dataset.name == "train"
    assert kept.outputs.model_outputs[0].model_id == model_id
    logged = mlflow.get_logged_model(model_id)
    assert (logged.status.value, logged.params["C"]) == ("READY", "1.0")
    assert logged.metrics[0].value == 0.8
    for uri in (f"models:/{model_id}", f"runs:/{run_id}/model"):
        assert (mlflow.sklearn.load_model(uri).predict(x) == y).all()
    assert (mlflow.pyfunc.load_model(f"models:/{model_id}").predict(x) == y).all()
    mlflow.set_logged_model_tags(model_id, {"q": "1"})
    client.delete_logged_model_tag(model_id, "q")
    assert "q" not in mlflow.get_logged_model(model_id).tags
    found = mlflow.search_logged_models(
        [experiment],
        "metrics.auc > 0.5 AND params.C = '1.0' AND name = 'model'",
        order_by=[{"field_name": "metrics.auc", "ascending": False}],
        output_format="list",
    )
    assert [m.model_id for m in found] == [model_id]
    assert len(client.search_runs([experiment], "dataset.context = 'training'")) == 1
    other = mlflow.initialize_logged_model("other")
    mlflow.log_model_params({"zz": "2"}, other.model_id)
    mlflow.finalize_logged_model(other.model_id, "READY")
    assert mlflow.get_logged_model(other.model_id).params == {"zz": "2"}
    client.delete_logged_model(other.model_id)


def autolog() -> None:
    x, y = _rows()
    mlflow.sklearn.autolog(log_models=False)
    with mlflow.start_run() as run:
        LogisticRegression(C=2.0).fit(x, y)
    kept = mlflow.get_run(run.info.run_id)
    assert kept.data.params["C"] == "2.0"
    assert "training_score" in kept.data.metrics
    assert kept.inputs.dataset_inputs


def registry(client: MlflowClient) -> None:
    x, y = _rows()
    with mlflow.start_run() as run:
        fitted = LogisticRegression().fit(x, y)
        info = mlflow.sklearn.log_model(
            fitted,
            name="model",
            registered_model_name="flow model",
            pip_requirements=["scikit-learn"],
        )
    first = mlflow.register_model(info.model_uri, "flow model", tags={"rt": "1"})
    assert (first.name, int(first.version), first.status) == ("flow model", 2, "READY")
    assert first.run_id == run.info.run_id
    client.create_registered_model("m2", tags={"a": "b"}, description="dd")
    client.update_registered_model("m2", "ee")
    client.rename_registered_model("m2", "m3")
    client.set_registered_model_tag("m3", "c", "d")
    client.delete_registered_model_tag("m3", "a")
    kept = client.get_registered_model("m3")
    assert (kept.description, kept.tags, kept.aliases) == ("ee", {"c": "d"}, {})
    second = client.create_model_version("m3", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.update_model_version("m3", second.version, "told")
    client.set_model_version_tag("m3", second.version, "k", "v")
    client.delete_model_version_tag("m3", second.version, "k")
    assert client.get_model_version("m3", second.version).description == "told"
    aliases_and_stages(client, x, y)
    found = client.search_registered_models("name ILIKE 'FLOW%'", order_by=["name DESC"])
    assert [m.name for m in found] == ["flow model"]
    of_run = client.search_model_versions(
        f"name = 'flow model' and run_id = '{run.info.run_id}'", order_by=["version_number ASC"]
    )
    assert [int(v.version) for v in of_run] == [1, 2]
    tagged = client.search_model_versions("tags.rt = '1'")
    assert [(v.name, int(v.version)) for v in tagged] == [("flow model", 2)]
    client.delete_model_version("m3", second.version)
    client.delete_registered_model("m3")
    for call, code, text in (
        (lambda: client.get_registered_model("m3"), "RESOURCE_DOES_NOT_EXIST", "name=m3 not found"),
        (
            lambda: client.create_registered_model("flow model"),
            "RESOURCE_ALREADY_EXISTS",
            "already exists",
        ),
        (
            lambda: client.set_registered_model_alias("flow model", "v1", "1"),
            "INVALID_PARAMETER_VALUE",
            "Version alias name 'v1' is reserved",
        ),
        (
            lambda: client.get_model_version_by_alias("flow model", "zz"),
            "INVALID_PARAMETER_VALUE",
            "Registered model alias zz not found",
        ),
        (
            lambda: client.transition_model_version_stage("flow model", "1", "foo"),
            "INVALID_PARAMETER_VALUE",
            "Invalid Model Version stage: foo",
        ),
        (
            lambda: client.create_model_version("flow model", "file:///etc/passwd"),
            "INVALID_PARAMETER_VALUE",
            "Invalid model version source",
        ),
    ):
        with pytest.raises(MlflowException, match=text) as caught:
            call()
        assert caught.value.error_code == code, caught.value


def aliases_and_stages(client: MlflowClient, x: pd.DataFrame, y: pd.Series) -> None:
    client.set_registered_model_alias("flow model", "champion", "1")
    assert client.get_model_version_by_alias("flow model", "champion").aliases == ["champion"]
    assert client.get_registered_model("flow model").aliases == {"champion": "1"}
    client.transition_model_version_stage("flow model", "1", "Production")
    moved = client.transition_model_version_stage(
        "flow model", "2", "production", archive_existing_versions=True
    )
    assert moved.current_stage == "Production"
    assert client.get_model_version("flow model", "1").current_stage == "Archived"
    latest = client.get_latest_versions("flow model", ["Production"])
    assert [int(v.version) for v in latest] == [2]
    for uri in ("champion", "2", "latest", "Production"):
        sign = "@" if uri == "champion" else "/"
        loaded = mlflow.sklearn.load_model(f"models:/flow model{sign}{uri}")
        assert (loaded.predict(x) == y).all()
    client.delete_registered_model_alias("flow model", "champion")
    assert client.get_registered_model("flow model").aliases == {}


if __name__ == "__main__":
    main(sys.argv[1])
