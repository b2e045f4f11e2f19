"""What a step logs through MLflow's own client belongs to the pipeline's run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.environments import python_with

from tidemill.home import Home

ROOT = Path(__file__).parents[2]
PIPELINE = """
import mlflow
import polars as pl
from sklearn.linear_model import LogisticRegression


def fit(rows: pl.DataFrame) -> LogisticRegression:
    x, y = rows.drop("target").to_pandas(), rows["target"].to_list()
    mlflow.sklearn.autolog(log_models=False)
    with mlflow.start_run():
        model = LogisticRegression(max_iter=50, C=0.5).fit(x, y)
        mlflow.log_metric("of_my_own", 1.5)
        mlflow.log_text("hello", "notes.txt")
        mlflow.sklearn.log_model(model, name="inner", pip_requirements=["scikit-learn"])
    return model
"""


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that has Tidemill and MLflow's client."""
    packages = ("--editable", str(ROOT), "mlflow-skinny", "pandas", "skops")
    return python_with("with-mlflow", packages, of=(ROOT / "pyproject.toml").read_text())


@pytest.mark.timeout(1500)
def test_a_run_of_mlflow_inside_a_step_is_the_steps_run(python: str, tmp_path: Path) -> None:
    def tidemill(*arguments: str) -> str:
        done = subprocess.run(
            [python, "-m", "tidemill", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    tidemill("init")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    tidemill("run")
    with Home.open(tmp_path / ".tidemill") as home:
        version = home.registry.versions("model")[0]
        assert version.run_id is not None
        run = home.tracking.get(version.run_id)
        assert run.status == "FINISHED"
        assert run.metrics["of_my_own"] == 1.5
        assert run.params["C"] == "0.5"
        paths = [a.path for a in home.tracking.artifacts(run.id)]
        assert "notes.txt" in paths
        written = home.tracking.links([run.id])[run.id].written
        logged = home.logged_models.get(written[0].model_id)
        assert (logged.name, logged.run_id, logged.status) == ("inner", run.id, "READY")
        assert version.dataset is not None
        assert str(version.ref) in {
            e.target for e in home.lineage.downstream(version.ref.parse(version.dataset))
        }
