"""What a real MLflow kept is told alike by MLflow's own client afterwards, with Tidemill behind."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.control_plane import running

FLOW = Path(__file__).parent / "mlflow_flow.py"
LARGEST = repr(sys.float_info.max)
Client = Callable[[str], str]

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize(
    ("which", "store"), [("new", "sqlite"), ("old", "sqlite"), ("new", "folder")]
)
def test_everything_comes_across(client: Client, which: str, store: str, tmp_path: Path) -> None:
    place, uri = _source(tmp_path / "source", store)
    _flow(client(which), "make", uri, place.parent)
    before = _flow(client(which), "describe", uri, place.parent)
    assert len(before["runs"]) == 4
    assert before["answers"] == [0.0, 1.0]
    _tidemill("import", "mlflow", str(place), "--home", str(tmp_path / "home"))
    _tidemill("import", "mlflow", str(place), "--home", str(tmp_path / "home"))  # changes nothing
    with running(tmp_path / "home") as ours:
        after = _flow(client("new"), "describe", ours.address, tmp_path)
    assert after == before


def test_a_running_server_is_read_over_http(client: Client, tmp_path: Path) -> None:
    place, uri = _source(tmp_path / "source", "sqlite")
    with _mlflow_server(client("new"), uri, place.parent) as address:
        _flow(client("new"), "make", address, place.parent)
        before = _flow(client("new"), "describe", address, place.parent)
        _tidemill("import", "mlflow", address, "--home", str(tmp_path / "home"))
    with running(tmp_path / "home") as ours:
        after = _flow(client("new"), "describe", ours.address, tmp_path)
        _tidemill("import", "mlflow", ours.address, "--home", str(tmp_path / "second"))
    assert after == before
    with running(tmp_path / "second") as ours:
        assert _flow(client("new"), "describe", ours.address, tmp_path) == before


def _source(folder: Path, store: str) -> tuple[Path, str]:
    folder.mkdir()
    if store == "folder":
        return folder / "mlruns", str(folder / "mlruns")
    return folder / "mlflow.db", f"sqlite:///{folder}/mlflow.db"


def _flow(python: str, what: str, uri: str, folder: Path) -> dict[str, Any]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "TIDEMILL"))}
    command = [python, "-W", "ignore", str(FLOW), what, uri]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=600, cwd=folder, env=kept
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return _comparable(json.loads(done.stdout)) if what == "describe" else {}


def _comparable(told: dict[str, Any]) -> dict[str, Any]:
    """Level what MLflow's stores differ in: files may hold a point twice, databases no infinity."""
    for run in told["runs"].values():
        for key, points in run["histories"].items():
            run["histories"][key] = sorted({(s, t, _finite(v)) for s, t, v in points})
    for model in told["models"].values():
        model["metrics"] = sorted((*m[:3], _finite(m[3]), *m[4:]) for m in model["metrics"])
    return told


def _finite(value: str) -> str:
    return LARGEST if math.isinf(float(value)) else value


def _tidemill(*arguments: str) -> None:
    command = [sys.executable, "-m", "tidemill", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]


@contextmanager
def _mlflow_server(python: str, uri: str, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(server, address, folder / "log")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(120)


def _wait_until_healthy(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    for _ in range(1500):
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        try:
            server.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(log.read_text()[-3000:])
