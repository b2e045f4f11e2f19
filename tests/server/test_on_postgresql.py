"""A whole server on PostgreSQL: named once on the command line, used by MLflow's own client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.control_plane import ControlPlane
from tests.environments import MLFLOW, python_with
from tests.postgresql import Server as PostgreSql

FLOW = Path(__file__).parent / "mlflow" / "client_flow.py"
PASSWORD = "p@ss:w/rd"
COMMAND = [sys.executable, "-m", "tidemill", "up", "--port", "0", "--serve-port", "0"]


@pytest.mark.timeout(1500)
def test_what_the_client_logged_is_there_after_a_restart(
    postgres: PostgreSql, tmp_path: Path
) -> None:
    python = python_with("mlflow", MLFLOW)
    home = tmp_path / "home"
    url = postgres.guard("whole", PASSWORD)
    server = ControlPlane(home, "--database", url, PGPASSWORD=PASSWORD)
    try:
        _use(python, server.address, tmp_path)
        before = _found(server.address)
    finally:
        server.kill()
    assert before
    assert not (home / "tidemill.db").exists()
    assert all(PASSWORD.encode() not in f.read_bytes() for f in home.rglob("*") if f.is_file())
    server = ControlPlane(
        home, PGPASSWORD=PASSWORD
    )  # the home remembers which database, no password
    try:
        assert _found(server.address) == before
    finally:
        server.stop()


def test_a_database_that_cannot_be_had_ends_the_start_with_a_reason(
    postgres: PostgreSql, tmp_path: Path
) -> None:
    def up(url: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "--home", str(tmp_path / "home"), "--database", url]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")}
        return subprocess.run(
            command, env=kept, capture_output=True, text=True, check=False, timeout=60
        )

    missing = up(postgres.url("not_made"))
    assert missing.returncode == 1
    assert "createdb" in missing.stderr
    elsewhere = up("postgresql://ada:secret@127.0.0.1:1/mill")
    assert elsewhere.returncode == 1
    assert "does not answer" in elsewhere.stderr
    mistyped = up("mysql://ada:secret@127.0.0.1/mill")
    assert mistyped.returncode == 2
    assert "--database is 'mysql://ada@127.0.0.1/mill'" in mistyped.stderr
    for said in (missing, elsewhere, mistyped):
        assert "Traceback" not in said.stderr
        assert "secret" not in said.stderr


def _use(python: str, address: str, folder: Path) -> None:
    done = subprocess.run(
        [python, "-W", "ignore", str(FLOW), address],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "all done"


def _found(address: str) -> list[dict[str, object]]:
    """Search runs as a client does, by a metric and a param."""
    api = f"{address}/api/2.0/mlflow"
    listed = httpx.get(f"{api}/experiments/search", params={"max_results": 100}, timeout=30)
    everywhere = [e["experiment_id"] for e in listed.json()["experiments"]]
    asked = {"experiment_ids": everywhere, "filter": "metrics.acc > 0.5 and params.p2 = 'x'"}
    answer = httpx.post(f"{api}/runs/search", json=asked, timeout=30)
    assert answer.status_code == 200, answer.text
    runs: list[dict[str, object]] = answer.json()["runs"]
    return runs
