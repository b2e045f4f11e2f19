"""The log as tables for people's own questions: predictions of a stretch, with their labels."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from tidemill.core.errors import nearest
from tidemill.predictions import archive
from tidemill.predictions.errors import EndpointNotLogged
from tidemill.predictions.holdings import Stats
from tidemill.predictions.joining import labelled, unmatched
from tidemill.predictions.reader import hot
from tidemill.predictions.segments import (
    Kind,
    aside_folder,
    endpoints,
    files_of,
    held_still,
)
from tidemill.predictions.tables import LABEL_COLUMNS, PREDICTION_COLUMNS
from tidemill.predictions.values import merged_lazily

_MOMENT_OF = {"predictions": "time", "labels": "arrival"}
_SCHEMAS: dict[Kind, dict[str, Any]] = {
    "predictions": PREDICTION_COLUMNS,
    "labels": LABEL_COLUMNS,
}


def scan(
    root: Path,
    endpoint: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    labels: bool = False,
) -> pl.LazyFrame:
    """Return an endpoint's predictions of a stretch, compacted or not, as one table.

    Files of other days are not opened, and of the others only what is asked for is read.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        since: From when on; from the first where left out.
        until: Until when, exclusive.
        labels: Whether the labels are joined, as `label`, `label_time`, `label_arrival` and
            `label_count`.

    Raises:
        EndpointNotLogged: The log has nothing of it.
    """
    found = _table(root, endpoint, "predictions", since, until)
    found = found.drop("segment", "position")
    return labelled(found, read_all_labels(root, endpoint)) if labels else found


def read_all_labels(root: Path, endpoint: str) -> pl.DataFrame:
    """Return all labels of an endpoint.

    Raises:
        EndpointNotLogged: The log has nothing of it.
    """
    return _table(root, endpoint, "labels", None, None).collect()


def stats(root: Path, endpoint: str) -> Stats:
    """Return what an endpoint's log holds.

    Raises:
        EndpointNotLogged: The log has nothing of it.
    """
    rows = scan(root, endpoint, labels=True).select(
        "id", "key", "time", "status", "weight", "label_count"
    )
    frame = rows.collect()
    told = read_all_labels(root, endpoint)
    lost = unmatched(told, frame["id"], frame["key"])
    names = lost.select(pl.coalesce("prediction_id", "key"))["prediction_id"].head(5).to_list()
    with held_still(root, endpoint):
        paths = files_of(root, endpoint)
        sizes = {path: path.stat().st_size for path in paths}
        aside = len(list(aside_folder(root, endpoint).glob("*.bad")))
    live = [p for p in paths if p.suffix == ".log"]
    files = [p for p in paths if p.suffix == ".parquet"]
    return Stats(
        endpoint=endpoint,
        predictions=frame.height,
        estimated=float(frame["weight"].sum()),
        errors=frame.filter(pl.col("status") == "error").height,
        since=frame["time"].min(),  # type: ignore[arg-type]
        until=frame["time"].max(),  # type: ignore[arg-type]
        labels=told.height,
        labelled=frame.filter(pl.col("label_count") > 0).height,
        corrected=frame.filter(pl.col("label_count") > 1).height,
        unmatched=lost.height,
        examples=tuple(names),
        segments=len(live),
        segment_bytes=sum(sizes[p] for p in live),
        files=len(files),
        file_bytes=sum(sizes[p] for p in files),
        aside=aside,
    )


def _table(
    root: Path, endpoint: str, kind: Kind, since: datetime | None, until: datetime | None
) -> pl.LazyFrame:
    if not (root / endpoint).is_dir():
        raise EndpointNotLogged(
            f"The prediction log has nothing of endpoint {endpoint!r}.",
            expected=nearest(endpoint, endpoints(root)),
            hint="Predictions are logged from an endpoint's first request on.",
        )
    with held_still(root, endpoint):
        files = archive.archived(root, endpoint, kind)
        live = hot(root, endpoint, kind, {})
    moment = pl.col(_MOMENT_OF[kind])
    frames = [pl.scan_parquet(f.path) for f in files if _is_within(f.day, since, until)]
    if live is not None:
        frames.append(live.drop(c for c in live.columns if live[c].dtype == pl.Null).lazy())
    frames.append(_empty(kind))
    found = merged_lazily(pl.concat(frames, how="diagonal_relaxed"))
    if since is not None:
        found = found.filter(moment >= since)
    return found if until is None else found.filter(moment < until)


def _is_within(day: str, since: datetime | None, until: datetime | None) -> bool:
    """Whether a day has anything of a stretch; texts of days stand in their order."""
    if since is not None and day < f"{since:%Y-%m-%d}":
        return False
    return until is None or day <= f"{until - timedelta(microseconds=1):%Y-%m-%d}"


def _empty(kind: Kind) -> pl.LazyFrame:
    import pyarrow as pa

    # Of an empty list Arrow asks pandas, where that is installed, whether it knows it.
    table = pa.table({n: pa.nulls(0, t) for n, t in _SCHEMAS[kind].items()})
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    last = "prediction" if kind == "predictions" else "label"
    return frame.with_columns(pl.lit(None).alias(last)).lazy()
