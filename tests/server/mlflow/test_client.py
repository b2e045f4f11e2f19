"""MLflow's own client, unmodified, against a real server process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.home import Home

CLIENT = ("mlflow-skinny", "scikit-learn", "skops", "pandas", "pytest")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has the newest MLflow client, in an environment beside ours.

    MLflow holds other libraries back, so it is no dependency of this project, not even for
    development. `TIDEMILL_TEST_MLFLOW` may name a Python that has it already.
    """
    named = os.environ.get("TIDEMILL_TEST_MLFLOW")
    if named:
        return named
    folder = tmp_path_factory.mktemp("mlflow") / "env"
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "bin" / "python")
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    subprocess.run(make, check=True, timeout=60)
    fill = [uv, "pip", "install", "--quiet", "--python", python, *CLIENT]
    filled = subprocess.run(fill, check=False, capture_output=True, text=True, timeout=200)
    if filled.returncode != 0:
        pytest.skip(f"MLflow's client cannot be installed here: {filled.stderr[-300:]}")
    return python


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tidemill", "up", "--home", str(tmp_path / "home")]
    server = subprocess.Popen(
        [*command, "--port", "0", "--serve-port", "0", "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    assert server.stdout is not None
    try:
        line = next((part for part in server.stdout if "ready" in part), "")
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found is not None, line
        rest = threading.Thread(target=server.stdout.read, daemon=True)
        rest.start()
        yield found[0]
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    rest.join()
    server.stdout.close()


@pytest.mark.timeout(500)
def test_the_unmodified_client_works(client: str, address: str, tmp_path: Path) -> None:
    flow = Path(__file__).parent / "client_flow.py"
    environment = {
        **os.environ,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [client, "-W", "ignore", str(flow), address],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stdout.endswith("all done\n"), done.stdout[-2000:] + done.stderr[-4000:]


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
