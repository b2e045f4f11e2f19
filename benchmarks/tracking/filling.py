"""Fills a home with more runs than anyone would send over HTTP: by SQL, each as if it had been."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tidemill.home import Home

EXPERIMENT = "many"
_RUN = "printf('%012x7%03x8%015x', 1790000000000 + i, i % 4096, i)"
_VALUE = "(i * 7919 % 10007) / 10007.0"
_STATEMENTS = (
    f"INSERT INTO tracking_runs (id, experiment_id, name, status, started, ended, actor, parent, "
    f"lifecycle) SELECT {_RUN}, :experiment, 'run-' || i, 'FINISHED', 1790000000000000 + i * 1000, "
    f"1790000000000000 + i * 2000, 'user:bench', NULL, 'active' FROM numbers",
    f"INSERT INTO tracking_newest (run_id, key, step, timestamp, value, nan, experiment_id) "
    f"SELECT {_RUN}, 'm' || k, 0, 1790000000000, {_VALUE} + k, 0, :experiment FROM numbers, ten",
    f"INSERT INTO tracking_params (run_id, key, value) "
    f"SELECT {_RUN}, 'p' || k, (i * 31 + k) % 97 FROM numbers, ten",
    f"INSERT INTO tracking_tags (run_id, key, value) "
    f"SELECT {_RUN}, CASE k WHEN 0 THEN 'mlflow.user' ELSE 'mlflow.source.name' END, 'bench' "
    f"FROM numbers, ten WHERE k < 2",
)
_AT_ONCE = 50_000


def fill(folder: Path, count: int) -> str:
    """Make a home with so many runs of ten metrics and ten params, and return their experiment.

    Their points, which no search reads, are left out.
    """
    with Home.open(folder) as home:
        experiment = home.tracking.experiment(EXPERIMENT).id
    with closing(sqlite3.connect(folder / "tidemill.db", isolation_level=None)) as raw:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000"):
            raw.execute(f"PRAGMA {pragma}").close()
        indexes = raw.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
            "AND tbl_name LIKE 'tracking%'"
        ).fetchall()
        for name, _ in indexes:
            raw.execute(f'DROP INDEX "{name}"')
        for first in range(0, count, _AT_ONCE):
            _insert(raw, experiment, first, min(first + _AT_ONCE, count))
        for _, made in indexes:
            raw.execute(made)
        raw.execute("PRAGMA journal_mode=WAL").close()
    return experiment


def _insert(raw: sqlite3.Connection, experiment: str, first: int, last: int) -> None:
    raw.execute("BEGIN")
    for statement in _STATEMENTS:
        numbers = (
            "WITH RECURSIVE numbers(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM "
            "numbers WHERE i + 1 < :last), ten(k) AS (SELECT 0 UNION ALL SELECT k + 1 "
            "FROM ten WHERE k < 9) "
        )
        into, _, rest = statement.partition(" SELECT")
        named = {"first": first, "last": last, "experiment": experiment}
        raw.execute(f"{numbers}{into} SELECT{rest}", named)
    raw.execute("COMMIT")
