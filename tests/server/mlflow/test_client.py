"""MLflow's own client, unmodified, against a real server process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.control_plane import ControlPlane
from tests.environments import MLFLOW, MLFLOW_A_YEAR_OLDER, python_with, torch
from tests.webhooks.receiver import receiving

from tidemill.home import Home


@pytest.fixture(scope="session")
def client() -> str:
    """A Python that has the newest MLflow client and some frameworks."""
    return python_with("mlflow", MLFLOW)


@pytest.fixture(scope="session")
def older_client() -> str:
    """A Python that has a client of a year ago."""
    return python_with("mlflow-older", MLFLOW_A_YEAR_OLDER)


def _flow(python: str, name: str, folder: Path, *arguments: str) -> str:
    """Run a program of the client's, and return the last line that it printed."""
    environment = {
        **os.environ,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [python, "-W", "ignore", str(Path(__file__).parent / name), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.timeout(700)
@pytest.mark.parametrize("age", ["client", "older_client"])
def test_the_unmodified_client_works(
    age: str, request: pytest.FixtureRequest, address: str, tmp_path: Path
) -> None:
    python = request.getfixturevalue(age)
    assert _flow(python, "client_flow.py", tmp_path, address) == "all done"


@pytest.mark.timeout(700)
def test_frameworks_log_themselves(client: str, address: str, tmp_path: Path) -> None:
    said = _flow(client, "client_frameworks.py", tmp_path, address)
    for name in ("sklearn", "async", "xgboost", "lightgbm", "system metrics", "evaluate"):
        assert name in said


@pytest.mark.timeout(1500)
def test_pytorch_logs_itself(address: str, tmp_path: Path) -> None:
    python = python_with("mlflow-torch", (*MLFLOW, "lightning", *torch()))
    said = _flow(python, "client_frameworks.py", tmp_path, address, "pytorch")
    assert said == "all done: pytorch"


@pytest.mark.timeout(500)
def test_the_client_is_told_of_models_by_webhooks(client: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        server = ControlPlane(tmp_path / "home", TIDEMILL_WEBHOOK_HOSTS=receiver.host)
        try:
            said = _flow(client, "client_webhooks.py", tmp_path, server.address, receiver.url)
            assert said == "all done"
            test, model, alias = receiver.wait(3)
        finally:
            server.stop()
    assert test.read["entity"] == "model_version_tag"
    assert model.read["data"] == {"name": "m", "tags": {"a": "b"}, "description": None}
    assert alias.read["data"] == {"name": "m", "alias": "champion", "version": "1"}


@pytest.mark.timeout(500)
def test_a_run_of_mlflow_is_a_run_of_the_home(client: str, address: str, tmp_path: Path) -> None:
    code = (
        "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]);"
        "run = mlflow.start_run(); mlflow.log_metric('m', 1.0);"
        "sys.stderr.write(run.info.run_id)"
    )
    done = subprocess.run(
        [client, "-W", "ignore", "-c", code, address],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=True,
    )
    run_id = done.stderr[-32:]
    import httpx

    run = httpx.get(f"{address}/api/run", params={"id": run_id})
    assert run.status_code == 200, run.text
    assert run.json()["metrics"] == {"m": 1.0}


def test_a_home_is_read_after_the_server_has_gone(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home") as home:
        model = home.logged_models.create(home.tracking.experiment("e").id, "m")
        home.logged_models.log_artifact(model.id, "a/MLmodel", b"x")
        home.logged_models.finish(model.id, "READY", actor="user:me")
    with Home.open(tmp_path / "home") as home:
        assert home.logged_models.get(model.id).status == "READY"
        assert [a.path for a in home.logged_models.artifacts(model.id)] == ["a/MLmodel"]
