"""Answers and their labels, read without the features that they were given for."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
from sqlalchemy import Connection, select

from tidemill.monitoring import store

_LABEL = msgspec.msgpack.Decoder()


class _Answer(msgspec.Struct, array_like=True):
    """What `kept.prepared` writes; the features are not decoded."""

    prediction: Any
    score: Any
    features: msgspec.Raw


_ANSWER = msgspec.msgpack.Decoder(_Answer)
_PLAIN: dict[str, Any] = {
    "id": pl.String,
    "time": pl.Int64,
    "status": pl.String,
    "latency_us": pl.Int64,
    "arrived": pl.Int64,
}


def read_answers(
    connection: Connection, endpoint: str, *where: Any, newest: int | None = None
) -> pl.DataFrame:
    """Return answers by time: `prediction`, `score`, `label` and what is plain of a row.

    Args:
        connection: To the database.
        endpoint: Where they were given.
        where: Which of them.
        newest: Only so many of the newest.
    """
    rows = store.rows.c
    columns = (rows.id, rows.time, rows.status, rows.latency_us, rows.arrived, rows.answer)
    query = select(*columns, rows.label).where(rows.endpoint == endpoint, *where)
    found = connection.execute(query.order_by(rows.time.desc(), rows.id.desc()).limit(newest)).all()
    found = found[::-1]
    answers = [_ANSWER.decode(r.answer) for r in found]
    labels = [None if r.label is None else _LABEL.decode(r.label) for r in found]
    series = [pl.Series(n, [getattr(r, n) for r in found], dtype=t) for n, t in _PLAIN.items()]
    return pl.DataFrame(
        [
            *series,
            pl.Series("prediction", [a.prediction for a in answers], strict=False),
            pl.Series("score", [a.score for a in answers], strict=False),
            pl.Series("label", labels, strict=False),
        ]
    )
