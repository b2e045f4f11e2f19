"""Reads a stretch of the log, however long ago, and tells when named predictions were made.

Only the files of the days that matter are opened, and of those only the columns that are asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import polars as pl

from tidemill.core.clock import from_micros, micros
from tidemill.predictions import archive
from tidemill.predictions.reader import framed, hot, shaped
from tidemill.predictions.segments import held_still
from tidemill.predictions.values import merged


def read_stretch(root: Path, endpoint: str, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the predictions of a stretch of time that the log still has, by time.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        since: Where it begins.
        until: Where it ends, exclusive.

    Returns:
        The columns of `read_predictions`.
    """
    if not (root / endpoint).is_dir():
        return shaped(pl.DataFrame())
    first, last = f"{since:%Y-%m-%d}", f"{until:%Y-%m-%d}"
    with held_still(root, endpoint):
        files = archive.archived(root, endpoint, "predictions")
        frames = [framed(archive.table_in(f.path)) for f in files if first <= f.day <= last]
        live = hot(root, endpoint, "predictions", {})
    frames += [] if live is None else [live]
    frames = [f for f in frames if not f.is_empty()]
    if not frames:
        return shaped(pl.DataFrame())
    found = shaped(merged(pl.concat(frames, how="diagonal_relaxed")))
    begin, end = micros(since), micros(until)
    return found.filter(pl.col("time") >= begin, pl.col("time") < end)


def times_of(
    root: Path, endpoint: str, ids: Collection[str], keys: Collection[str], before: datetime
) -> list[datetime]:
    """Return when the predictions were made that are named by id or by their row's key.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        ids: Of predictions.
        keys: Of rows.
        before: Only earlier ones are told of.
    """
    if not (root / endpoint).is_dir():
        return []
    columns, last = ["id", "key", "time"], f"{before:%Y-%m-%d}"
    named = pl.col("id").is_in(list(ids)) | pl.col("key").is_in(list(keys))
    found: list[int] = []
    with held_still(root, endpoint):
        for file in archive.archived(root, endpoint, "predictions"):
            if file.day <= last:
                frame = framed(archive.table_in(file.path, columns))
                found += frame.filter(named)["time"].dt.epoch("us").to_list()
        live = hot(root, endpoint, "predictions", {})
    if live is not None:
        found += live.filter(named)["time"].dt.epoch("us").to_list()
    return sorted(from_micros(t) for t in found if t < micros(before))
