"""A small database as an early MLflow kept it, made by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

TABLES = """
CREATE TABLE alembic_version (version_num TEXT);
INSERT INTO alembic_version VALUES ('97727af70f4d');
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, artifact_location TEXT,
    lifecycle_stage TEXT);
INSERT INTO experiments VALUES (0, 'Default', '', 'active'), (7, 'tides', '', 'active');
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, status TEXT, start_time BIGINT, end_time BIGINT,
    user_id TEXT, lifecycle_stage TEXT, artifact_uri TEXT, experiment_id INTEGER);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT, PRIMARY KEY (key, run_uuid));
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT, PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT,
    is_nan BOOLEAN, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
"""
"""The tables that every version of MLflow has had, and no others."""
Statement = tuple[str, tuple[object, ...]]


class Small:
    """A database as an early MLflow kept it, made by hand.

    Args:
        folder: Where `mlflow.db` and `mlruns` are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "mlflow.db"
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(TABLES)

    def write(self, *statements: Statement) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for sql, given in statements:
                connection.execute(sql, given)

    def add_run(
        self, name: str, *, place: str | None = None, points: int = 0, status: str = "FINISHED"
    ) -> str:
        """Add a run with a param, a tag, a file and some points; return its id."""
        run_id = name.ljust(32, "0")
        folder = self.folder / "mlruns" / "7" / run_id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "note.txt").write_text(f"of {name}")
        uri = str(folder) if place is None else place
        self.write(
            (
                "INSERT INTO runs VALUES (?, ?, 1000, 2000, 'me', 'active', ?, 7)",
                (run_id, status, uri),
            ),
            ("INSERT INTO params VALUES ('lr', '0.1', ?)", (run_id,)),
            ("INSERT INTO tags VALUES ('mlflow.runName', ?, ?)", (name, run_id)),
        )
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)",
                [(f"m{i % 3}", i / 7, i, run_id, i) for i in range(points)],
            )
        return run_id
