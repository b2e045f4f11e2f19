"""A model that has no ONNX twin, once around the loop: made, served through kills, made again."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.control_plane import ControlPlane

from .conftest import Tidemill, table

PIPELINE = '''
"""Trains a model that no converter knows."""

from datetime import timedelta

import numpy as np
import polars as pl

from rules import distance


class Neighbours:
    """Looks rows up among those that it was fitted on."""

    def __init__(self, rows: pl.DataFrame, label: str) -> None:
        self.names = [n for n in rows.columns if n != label]
        matrix = rows.select(self.names).to_numpy()
        self.center, self.scale = matrix.mean(axis=0), matrix.std(axis=0)
        self.known = (matrix - self.center) / self.scale
        self.yes = rows[label].to_numpy().astype(float)
        self.classes_ = [False, True]

    def predict_proba(self, rows: pl.DataFrame) -> np.ndarray:
        asked = (rows.select(self.names).to_numpy() - self.center) / self.scale
        nearest = np.argsort(distance(asked, self.known), axis=1)[:, :9]
        return self.yes[nearest].mean(axis=1)


def fit(rows: pl.DataFrame, *, seed: int = 0) -> Neighbours:
    return Neighbours(rows, "target")
'''
RULES = '''
"""A module of the project's own."""

import numpy as np


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return ((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=2)
'''


@pytest.mark.timeout(600)
def test_a_model_without_a_twin_goes_all_the_way(
    tmp_path: Path, tidemill: Tidemill, up: Callable[..., ControlPlane], model_environments: Path
) -> None:
    model_environments.mkdir(exist_ok=True)
    rows = table("breast_cancer").select("mean_radius", "mean_texture", "mean_area", "target")
    source = tmp_path / "rows.csv"
    rows.write_csv(source)
    project = tmp_path / "project"
    tidemill(tmp_path, "init", str(project), "--data", str(source), "--label", "target")
    (project / ".tidemill").mkdir(mode=0o700)
    (project / ".tidemill" / "environments").symlink_to(model_environments)
    (project / "pipeline.py").write_text(PIPELINE)
    (project / "rules.py").write_text(RULES)
    policy = project / "tidemill.toml"
    gate = "[models.model.gate]\n"
    policy.write_text(
        policy.read_text().replace(gate, f"{gate}latency_p99_ms = {{ max = 60000 }}\n")
        + "\n[models.model.runtime]\nprocesses = 2\nmemory_mb = 2048\n"
    )

    ran = json.loads(tidemill(project, "run", "--json").stdout)
    assert ran["status"] == "finished", ran["error"]
    shown = json.loads(tidemill(project, "models", "show", "model@champion", "--json").stdout)
    assert shown["manifest"]["twin"] is None
    assert "no counterpart" in shown["manifest"]["no_twin"]
    assert shown["version"]["metrics"]["roc_auc"] > 0.8
    # The gate has rehearsed it: in a sandbox, its processes below, before there was any traffic.
    (run,) = json.loads(tidemill(project, "runs", "list", "--json").stdout)
    assert 0 < run["metrics"]["latency_p99_ms"] < 60_000

    _score_and_export(project, tidemill, source, rows.height)
    again = json.loads(tidemill(project, "reproduce", ran["id"], "--json").stdout)
    assert again["identical"], again["differences"]
    _serve_through_kills(project, tidemill, up, rows.drop("target").to_dicts())


def _score_and_export(project: Path, tidemill: Tidemill, source: Path, count: int) -> None:
    scored = tidemill(
        project, "predict", "model", "--input", str(source), "--output", "out.csv", "--threads", "1"
    )
    assert f"{count:,} rows" in scored.stderr
    assert len((project / "out.csv").read_text().splitlines()) == count + 1
    policy = project / "tidemill.toml"
    said = policy.read_text()
    for line, why in (("start_timeout = 0.001", "0.001"), ('trust = "never"', "is a pickle")):
        where = "[models.model.runtime]" if line.startswith("start") else "[models.model]"
        policy.write_text(said.replace(where, f"{where}\n{line}", 1))
        command = ("predict", "model", "--input", str(source), "--output", "not.csv")
        held = tidemill(project, *command, code=None)
        assert held.returncode != 0
        assert why in held.stderr
    policy.write_text(said)
    refused = tidemill(project, "edge", "export", "model@champion", code=None)
    assert refused.returncode == 3
    assert "has no ONNX twin" in refused.stderr
    assert "nothing is unpickled at the edge" in refused.stderr
    assert "tidemill deploy" in refused.stderr


def _serve_through_kills(
    project: Path,
    tidemill: Tidemill,
    up: Callable[..., ControlPlane],
    records: list[dict[str, Any]],
) -> None:
    running = up(project)
    ids: list[str] = []
    wrong: list[Any] = []
    stop = threading.Event()

    def load(first: int) -> None:
        with httpx.Client(base_url=running.serving, timeout=60.0) as http:
            at = first
            while not stop.is_set():
                at = (at + 1) % len(records)
                body = {"dataframe_records": [records[at]]}
                answer = http.post("/invocations/model", json=body)
                if answer.status_code != 200:
                    wrong.append((answer.status_code, answer.text))
                else:
                    ids.append(answer.headers["tidemill-prediction-id"])

    threads = [threading.Thread(target=load, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    ready = 'tidemill_model_processes{worker="0",endpoint="model",version="1"} 2'
    for _ in range(2):
        seen = len(ids)
        # One that is killed before it has loaded was not there yet, and does not count.
        _until(lambda seen=seen: len(ids) > seen + 40 and ready in _metrics(running))  # type: ignore[misc]
        victim = _models(running)[0]
        os.kill(victim, signal.SIGKILL)
        _until(lambda victim=victim: victim not in _models(running))  # type: ignore[misc]
    counted = 'tidemill_model_restarts_total{worker="0",endpoint="model",version="1"} 2'
    _until(lambda: counted in _metrics(running))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert httpx.post(f"{running.serving}/-/flush", timeout=20).status_code == 200
    traced = json.loads(tidemill(project, "trace", ids[-1], "--json").stdout)
    assert any(link["reference"] == "model:model@1" for link in traced["links"]), traced
    tidemill(project, "loop", "tick")
    running.stop()
    again = json.loads(tidemill(project, "backtest", "model@1", "--json").stdout)
    assert again["rows"] > 80
    assert again["changed"] == 0


def _metrics(running: ControlPlane) -> str:
    return httpx.get(f"{running.serving}/metrics", timeout=20).text


def _models(running: ControlPlane) -> list[int]:
    """Return the processes of models below the workers of a `tidemill up`."""
    return [p for worker in _children(running.process.pid) for p in _children(worker)]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return sorted(found)


def _until(claim: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
