"""Many clients at once, a server that is killed under them, and a disk that is full."""

from __future__ import annotations

import http.client
import json
import os
import random
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.control_plane import ControlPlane
from tests.webhooks.receiver import receiving

from tidemill.home import Home

CORE = "/api/2.0/mlflow"
CLIENTS = 32
BATCH = 50


class Client:
    """One connection, kept open."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._connection.request(
            "POST", f"{CORE}/{path}", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def new_run(self) -> str:
        status, answer = self.post("runs/create", {"experiment_id": "0", "user_id": "me"})
        assert status == 200, answer
        return str(answer["run"]["info"]["run_id"])

    def close(self) -> None:
        self._connection.close()


def _point(key: str, step: int) -> dict[str, Any]:
    return {"key": key, "value": step / 2, "timestamp": 1_790_000_000_000, "step": step}


def _batch(run: str, number: int) -> dict[str, Any]:
    points = [_point("b", number * BATCH + at) for at in range(BATCH)]
    return {"run_id": run, "metrics": points, "params": [{"key": f"p{number}", "value": "1"}]}


def test_many_clients_at_once_lose_nothing(address: str) -> None:
    together = threading.Barrier(CLIENTS)

    def work(_: int) -> str:
        with closing(Client(address)) as client:
            run = client.new_run()
            together.wait()
            for step in range(30):
                assert client.post("runs/log-metric", {"run_id": run} | _point("m", step))[0] == 200
                if step % 10 == 0:
                    assert client.post("runs/log-batch", _batch(run, step // 10))[0] == 200
            return run

    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = list(pool.map(work, range(CLIENTS)))
    with closing(Client(address)) as client:
        status, answer = client.post("runs/search", {"experiment_ids": ["0"], "max_results": 100})
        assert status == 200
        found = {entry["info"]["run_id"]: entry["data"] for entry in answer["runs"]}
    assert set(found) == set(runs)
    for data in found.values():
        newest = {metric["key"]: metric["step"] for metric in data["metrics"]}
        assert newest == {"m": 29, "b": 3 * BATCH - 1}
        assert len(data["params"]) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, seed: int) -> None:
    """Batches are whole or absent, the database is sound, and the server starts again."""
    home = tmp_path / "home"
    server = ControlPlane(home)
    acknowledged: list[tuple[str, int, str]] = []
    begun = threading.Event()

    def work(_: int) -> None:
        with closing(Client(server.address)) as client:
            try:
                run = client.new_run()
                for number in range(10_000):
                    single = {"run_id": run} | _point("m", number)
                    if client.post("runs/log-metric", single)[0] == 200:
                        acknowledged.append((run, number, "m"))
                    if client.post("runs/log-batch", _batch(run, number))[0] == 200:
                        acknowledged.append((run, number, "b"))
                    begun.set()
            except (OSError, http.client.HTTPException):
                return

    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in range(CLIENTS):
            pool.submit(work, number)
        assert begun.wait(30)
        pause = threading.Event()
        pause.wait(random.Random(seed).uniform(0.1, 1.0))
        server.kill()
    with closing(sqlite3.connect(home / "tidemill.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again = ControlPlane(home)
    again.stop()
    with Home.open(home) as opened:
        points = {
            (run, key): {p.step for p in opened.tracking.history(run, key)}
            for run, _, key in set(acknowledged)
        }
        params = {run: opened.tracking.get(run).params for run, _, _ in set(acknowledged)}
    assert acknowledged
    for run, number, key in acknowledged:
        if key == "m":
            assert number in points[run, "m"]
        else:
            assert set(range(number * BATCH, (number + 1) * BATCH)) <= points[run, "b"]
            assert f"p{number}" in params[run]
    for (run, key), steps in points.items():
        if key == "b":
            assert len(steps) % BATCH == 0, f"half a batch of {run} is there"
            assert len(params[run]) == len(steps) // BATCH


@pytest.mark.timeout(300)
def test_a_webhook_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    """What was acknowledged is told, though the server dies before it has told it."""
    home = tmp_path / "home"
    event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    with receiving() as receiver:
        receiver.hold.clear()
        server = ControlPlane(home, TIDEMILL_WEBHOOK_HOSTS=receiver.host)
        with closing(Client(server.address)) as client:
            hook = {"name": "h", "url": receiver.url, "events": [event]}
            assert client.post("webhooks", hook)[0] == 200
            names = [f"m{number}" for number in range(20)]
            for name in names:
                assert client.post("registered-models/create", {"name": name})[0] == 200
        receiver.wait(1)
        server.kill()
        receiver.hold.set()
        again = ControlPlane(home, TIDEMILL_WEBHOOK_HOSTS=receiver.host)
        try:
            taken = receiver.wait(21)
        finally:
            again.stop()
    told = {t.headers["X-MLflow-Delivery-Id"]: t.read["data"]["name"] for t in taken}
    assert sorted(told.values()) == sorted(names)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("A file system can be mounted only by an administrator.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.timeout(180)
def test_on_a_full_disk_reads_go_on_and_writes_come_back(small_disk: Path) -> None:
    server = ControlPlane(small_disk / "home")
    try:
        client = Client(server.address)
        run = client.new_run()
        assert client.post("runs/log-metric", {"run_id": run} | _point("m", 1))[0] == 200
        ballast = small_disk / "ballast"
        _fill(ballast)
        refused = [client.post("runs/log-batch", _batch(run, number)) for number in range(40)]
        full = [answer for status, answer in refused if status == 507]
        assert full, refused[-1]
        assert full[0]["error_code"] == "RESOURCE_EXHAUSTED"
        assert "disk is full" in full[0]["message"]
        status, answer = client.post("runs/search", {"experiment_ids": ["0"]})
        assert (status, len(answer["runs"])) == (200, 1)
        ballast.unlink()
        assert client.post("runs/log-metric", {"run_id": run} | _point("m", 2))[0] == 200
        for number, (status, _) in enumerate(refused):
            if status != 200:
                assert client.post("runs/log-batch", _batch(run, number))[0] == 200
        status, answer = client.post("runs/search", {"experiment_ids": ["0"]})
        newest = {m["key"]: m["step"] for m in answer["runs"][0]["data"]["metrics"]}
        assert newest == {"m": 2, "b": 40 * BATCH - 1}
        client.close()
    finally:
        server.stop()


def _fill(ballast: Path) -> None:
    """Write until the disk takes no more."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
