"""The monitor's tables.

Rows of the last few windows are kept, so that late and corrected labels find their predictions;
older ones are only in the letterbox, and in the windows' reports.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import polars as pl
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tidemill.monitoring.records import WindowReport
from tidemill.predictions.reader import FEATURE
from tidemill.predictions.records import Cursor
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the monitor came with an endpoint.

    Attributes:
        predictions: What was read of the predictions.
        labels: What was read of the labels.
        judged: Up to where windows are judged, in microseconds since 1970.
        silent: Whether the newest window had no prediction; the next begins with the next one.
    """

    predictions: Cursor = Cursor()
    labels: Cursor = Cursor()
    judged: int | None = None
    silent: bool = False


state = Table(
    "monitoring_state",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("progress", Record(Progress), nullable=False),
)
rows = Table(
    "monitoring_rows",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("key", String(500)),
    Column("version", Integer, nullable=False),
    Column("role", String(10), nullable=False),
    Column("status", String(10), nullable=False),
    Column("latency_us", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("label", LargeBinary),
    Column("arrived", BigInteger),
    Index(None, "endpoint", "time"),
    Index(None, "endpoint", "key"),
)
windows = Table(
    "monitoring_windows",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("since", Moment, primary_key=True),
    Column("report", Record(WindowReport), nullable=False),
)
_PLAIN = ("id", "time", "key", "version", "role", "status", "latency_us")
_TYPES: dict[str, Any] = {
    "id": pl.String,
    "time": pl.Int64,
    "key": pl.String,
    "version": pl.Int64,
    "role": pl.String,
    "status": pl.String,
    "latency_us": pl.Int64,
    "arrived": pl.Int64,
}
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()


def read_progress(connection: Connection, endpoint: str) -> Progress:
    """Return how far the monitor came."""
    known = connection.scalar(select(state.c.progress).filter_by(endpoint=endpoint))
    return known or Progress()


def set_progress(connection: Connection, endpoint: str, progress: Progress) -> None:
    """Keep how far the monitor came."""
    connection.execute(delete(state).filter_by(endpoint=endpoint))
    connection.execute(insert(state), {"endpoint": endpoint, "progress": progress})


def prepared(endpoint: str, predictions: pl.DataFrame) -> list[dict[str, Any]]:
    """Return predictions as rows of the table; the costly part, done outside the writer."""
    plain = predictions.select(_PLAIN).to_dicts()
    names = [c for c in predictions.columns if c.startswith(FEATURE)]
    answers = predictions.select("prediction", "score", *names).rows()
    bare = [n.removeprefix(FEATURE) for n in names]
    for row, (prediction, score, *features) in zip(plain, answers, strict=True):
        row["endpoint"] = endpoint
        row["answer"] = _ENCODER.encode([prediction, score, dict(zip(bare, features, strict=True))])
    return plain


def add_rows(connection: Connection, entries: list[dict[str, Any]]) -> None:
    """Keep predictions, each once."""
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    if entries:
        connection.execute(make(rows).on_conflict_do_nothing(), entries)


def set_labels(connection: Connection, endpoint: str, labels: pl.DataFrame) -> None:
    """Keep labels with their predictions; the last to arrive wins."""
    entries = [
        {"an_id": i, "a_key": k, "a_label": _ENCODER.encode(label), "an_arrival": arrived}
        for i, k, label, arrived in labels.select(
            "prediction_id", "key", "label", "arrived"
        ).iter_rows()
    ]
    values: dict[str, Any] = {"label": bindparam("a_label"), "arrived": bindparam("an_arrival")}
    base = update(rows).where(rows.c.endpoint == endpoint).values(values)
    by_id = [e for e in entries if e["an_id"] is not None]
    by_key = [e for e in entries if e["an_id"] is None and e["a_key"] is not None]
    if by_id:
        connection.execute(base.where(rows.c.id == bindparam("an_id")), by_id)
    if by_key:
        connection.execute(base.where(rows.c.key == bindparam("a_key")), by_key)


def first_time(connection: Connection, endpoint: str, since: int = 0) -> int | None:
    """Return when the oldest prediction from a moment on was made, in microseconds since 1970."""
    oldest: int | None = connection.scalar(
        select(func.min(rows.c.time)).where(rows.c.endpoint == endpoint, rows.c.time >= since)
    )
    return oldest


def coverage(connection: Connection, endpoint: str, since: int, until: int) -> tuple[int, int]:
    """Return how many predictions a stretch has, and how many of them are labelled."""
    query = select(func.count(), func.count(rows.c.label)).where(
        *_between(endpoint, since, until), rows.c.role != "shadow"
    )
    total, labelled = connection.execute(query).one()
    return total, labelled


def read_rows(
    connection: Connection, endpoint: str, since: int, until: int, *where: Any
) -> pl.DataFrame:
    """Return a stretch's predictions by time: what is plain, the answer, features and label."""
    query = select(rows).where(*_between(endpoint, since, until), *where).order_by("time", "id")
    found = connection.execute(query).all()
    columns: dict[str, list[Any]] = {n: [getattr(r, n) for r in found] for n in _PLAIN}
    columns["arrived"] = [r.arrived for r in found]
    columns["label"] = [None if r.label is None else _DECODER.decode(r.label) for r in found]
    answers = [_DECODER.decode(r.answer) for r in found]
    columns["prediction"] = [a[0] for a in answers]
    columns["score"] = [a[1] for a in answers]
    names = {name for a in answers for name in a[2]}
    features = {f"{FEATURE}{n}": [a[2].get(n) for a in answers] for n in sorted(names)}
    return pl.DataFrame(
        [
            pl.Series(n, v, dtype=_TYPES.get(n), strict=False)
            for n, v in {**columns, **features}.items()
        ]
    )


def forget(connection: Connection, endpoint: str, before: int) -> None:
    """Remove predictions that no window will need again."""
    connection.execute(delete(rows).where(rows.c.endpoint == endpoint, rows.c.time < before))


def set_window(connection: Connection, report: WindowReport) -> None:
    """Keep a window's report in place of an older one."""
    key = {"endpoint": report.endpoint, "since": report.since}
    connection.execute(delete(windows).filter_by(**key))
    connection.execute(insert(windows), key | {"report": report})


def read_windows(
    connection: Connection, endpoint: str, since: datetime | None, limit: int | None
) -> list[WindowReport]:
    """Return windows' reports, newest first."""
    query = select(windows.c.report).filter_by(endpoint=endpoint)
    if since is not None:
        query = query.where(windows.c.since >= since)
    return list(connection.scalars(query.order_by(windows.c.since.desc()).limit(limit)))


def _between(endpoint: str, since: int, until: int) -> tuple[Any, ...]:
    return rows.c.endpoint == endpoint, rows.c.time >= since, rows.c.time < until
