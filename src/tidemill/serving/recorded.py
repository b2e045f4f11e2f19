"""Requests that an endpoint really got, as they were, to be asked again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
import polars as pl

from tidemill.core.clock import micros
from tidemill.predictions.reader import FEATURE
from tidemill.predictions.units import requests_of


class Recorded(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        columns: Its rows, by feature.
        count: How many rows.
    """

    columns: dict[str, list[Any]]
    count: int


def answered(
    frame: pl.DataFrame, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Return the rows of the prediction log that were answered in a stretch; no shadow, no error.

    Args:
        frame: As `read_predictions` gives them.
        since: Only requests from then on.
        until: Only requests before then.
    """
    kept = frame.filter(pl.col("role") != "shadow", pl.col("status") == "ok")
    if since is not None:
        kept = kept.filter(pl.col("time") >= micros(since))
    return kept if until is None else kept.filter(pl.col("time") < micros(until))


def with_labels(frame: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Return answered rows with what came true, by id or else by key; the last to arrive wins.

    Args:
        frame: Answered rows.
        labels: As `read_labels` gives them.
    """
    joined = frame
    for name, column in (("prediction_id", "id"), ("key", "key")):
        last = (
            labels.filter(pl.col(name).is_not_null())
            .unique(name, keep="last", maintain_order=True)
            .select(pl.col(name).alias(column), pl.col("label").alias(f"label_{column}"))
        )
        if last.is_empty():
            last = pl.DataFrame(schema={column: pl.String, f"label_{column}": pl.Null})
        joined = joined.join(last, on=column, how="left", maintain_order="left")
    label = pl.coalesce("label_id", "label_key").alias("label")
    return joined.with_columns(label).drop("label_id", "label_key")


def requests_in(frame: pl.DataFrame, most: int) -> list[Recorded]:
    """Return the newest requests of the prediction log, oldest first."""
    names = [c for c in frame.columns if c.startswith(FEATURE)]
    marked = frame.with_columns(requests_of(frame["id"]).alias("request"))
    newest = marked["request"].unique(maintain_order=True).tail(most)
    chosen = marked.filter(pl.col("request").is_in(newest.implode()))
    parts = chosen.partition_by("request", maintain_order=True)
    return [_recorded(part.select(names)) for part in parts]


def rows_as_requests(rows: pl.DataFrame, names: Sequence[str], most: int) -> list[Recorded]:
    """Return rows of a table as requests of one row each."""
    features = rows.select(pl.col(n).alias(FEATURE + n) for n in names).head(most)
    return [_recorded(features.slice(at, 1)) for at in range(features.height)]


def batches_of(frame: pl.DataFrame, size: int) -> Iterator[Recorded]:
    """Go through rows in requests of a size."""
    names = [c for c in frame.columns if c.startswith(FEATURE)]
    for at in range(0, frame.height, size):
        yield _recorded(frame.select(names).slice(at, size))


def _recorded(features: pl.DataFrame) -> Recorded:
    columns = {c.removeprefix(FEATURE): _plain(features[c].to_list()) for c in features.columns}
    return Recorded(columns, features.height)


def _plain(values: list[Any]) -> list[Any]:
    """Return values as JSON has them."""
    return [
        v.isoformat()
        if isinstance(v, date | datetime)
        else None
        if isinstance(v, float) and not math.isfinite(v)
        else v
        for v in values
    ]
