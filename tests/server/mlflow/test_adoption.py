"""Models that the unmodified MLflow client registered, deployed and asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.control_plane import ControlPlane
from tests.environments import MLFLOW, python_with, torch


def _tidemill(home: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *arguments, "--home", str(home)],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def _ask(serving: str, model: str, *rows: dict[str, Any]) -> list[Any]:
    return _answered(serving, model, {"dataframe_records": list(rows)})


def _answered(serving: str, model: str, body: dict[str, Any]) -> list[Any]:
    end = time.monotonic() + 120
    while True:  # a version answers once its processes have loaded it
        answer = httpx.post(f"{serving}/invocations/{model}", json=body, timeout=60)
        if answer.status_code != 404 or time.monotonic() > end:
            break
        time.sleep(0.2)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["predictions"]
    return found


@pytest.mark.timeout(1500)
def test_models_that_the_client_registered_are_deployed_and_answer(tmp_path: Path) -> None:
    client = python_with("mlflow", MLFLOW)
    home = tmp_path / "home"
    server = ControlPlane(home)
    try:
        _run(client, "client_models.py", server.address, tmp_path)
        serving = httpx.get(f"{server.address}/api/status", timeout=30).json()["serving"]

        said = _tidemill(home, "deploy", "model:linear@1").stderr
        assert "its ONNX twin answers" in said
        assert _ask(serving, "linear", {"a": 3.0, "b": 0.0}, {"a": -3.0, "b": 0.0}) == [
            "late",
            "on time",
        ]
        said = _tidemill(home, "deploy", "trees@1").stderr
        assert "its ONNX twin answers" in said
        (tall,) = _ask(serving, "trees", {"a": 3.0, "b": 0.0})
        assert tall > 0.5

        said = _tidemill(home, "deploy", "doubled@1").stderr
        assert "answers from processes of its own" in said
        row = {"a": 1.5, "b": 0.0, "when": "2013-02-01T06:30:00Z"}
        assert _ask(serving, "doubled", row) == [9.0]
        shown = json.loads(_tidemill(home, "models", "show", "doubled@1", "--json").stdout)
        assert shown["manifest"]["saved_as"] == "mlflow"
        assert shown["manifest"]["signature"]["features"][2]["type"] == "datetime"

        refused = _tidemill(home, "deploy", "bare@1", code=1)
        assert "logged without a signature" in refused.stderr
        assert "infer_signature" in refused.stderr
    finally:
        server.stop()


@pytest.mark.timeout(1500)
def test_a_pytorch_model_that_the_client_registered_answers(tmp_path: Path) -> None:
    client = python_with("mlflow-torch", (*MLFLOW, "lightning", *torch()))
    home = tmp_path / "home"
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    server = ControlPlane(home, **({"UV_FIND_LINKS": wheels} if wheels else {}))
    try:
        told = json.loads(_run(client, "client_torch.py", server.address, tmp_path))
        serving = httpx.get(f"{server.address}/api/status", timeout=30).json()["serving"]
        assert "answers from processes of its own" in _tidemill(home, "deploy", "net@1").stderr
        found = np.asarray(_answered(serving, "net", {"inputs": told["rows"]}), dtype=float)
        assert np.allclose(found.reshape(-1), told["answers"], atol=1e-5)
    finally:
        server.stop()


def _run(client: str, name: str, address: str, folder: Path) -> str:
    """Run a program of the client's, and return the last line that it printed."""
    variables = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    variables.pop("MLFLOW_TRACKING_URI", None)
    program = str(Path(__file__).parent / name)
    done = subprocess.run(
        [client, "-W", "ignore", program, address],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env=variables,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()[-1]
