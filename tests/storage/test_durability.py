"""Acknowledged means durable: real processes are killed, and what they left is looked at."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import text

from tidemill.storage.db.engine import Database


class Server(Protocol):
    def make(self, database: str) -> str: ...


PROGRAMS = Path(__file__).parent / "programs"


def kill_after(url: str, lines: int) -> list[str]:
    """Run the writing program, kill it after some acknowledgements, and return all of them."""
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "requests.py", url], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        seen = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.readlines()
    return [line.strip() for line in seen + rest if line.endswith("\n")]


def requests_in(db: Database) -> dict[str, int]:
    """Return how many of its three rows each request has."""
    with db.read() as connection:
        counted = connection.execute(text("SELECT request, count(*) FROM rows GROUP BY request"))
        return {name: int(parts) for name, parts in counted}


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_loses_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    killed_at_random(f"sqlite:///{tmp_path}/tidemill.db", seed)


def test_nor_does_one_that_writes_to_postgresql(postgres: Server) -> None:
    killed_at_random(postgres.make("durable"), seed=3)


def killed_at_random(url: str, seed: int) -> None:
    """Kill a writing process, and compare what it said with what is there."""
    acknowledged = kill_after(url, random.Random(seed).randint(1, 400))
    db = Database.open(url)
    there = requests_in(db)
    db.close()
    assert set(acknowledged) <= set(there)
    assert set(there.values()) == {3}
    # At most the one request of each thread was written and not yet acknowledged.
    assert len(there) - len(acknowledged) <= 4


@pytest.mark.parametrize("way", ["layout", "changes"])
def test_an_opening_killed_at_any_statement_is_made_up_for(tmp_path: Path, way: str) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAMS / "killed_migrations.py", tmp_path, way],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) > 3
    assert {(revisions, facts) for _, revisions, facts in found} == {(found[0][1], "0")}
