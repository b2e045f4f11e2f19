"""Replays recorded requests through a candidate: what would it have said instead?

The rows are those that the endpoint really got, so the comparison needs no labels and no traffic.
It says how many answers change, by how much, and where: a candidate that is better on the whole may
still turn around everything for one carrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import Clock, micros
from tidemill.models.errors import InvalidInput
from tidemill.models.session import OnnxModel
from tidemill.predictions.reader import FEATURE, read_predictions

_BATCH = 4096
_TIMED = 300
_FEWEST = 20
"""A segment with fewer rows is not reported apart."""


class SegmentDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate differs for the rows with one value of a column.

    Attributes:
        column: The column.
        value: Its value, as text.
        rows: How many rows have it.
        changed: The share of them whose label changes; for a regression, of nothing.
        mean_difference: By how much scores or values are larger on average.
    """

    column: str
    value: str
    rows: int
    changed: float
    mean_difference: float


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate differs from what was answered.

    Attributes:
        endpoint: Whose requests were replayed.
        rows: How many were.
        refused: How many the candidate would have refused.
        refusal: Why, of the first.
        changed: The share whose label changes.
        mean_difference: By how much scores or values are larger on average.
        largest_difference: The largest difference either way.
        segments: Where it differs most, first.
        p50_ms: The candidate's time for one row, in half of the cases.
        p99_ms: Its time for one row, in all but one of a hundred cases.
    """

    endpoint: str
    rows: int
    refused: int
    refusal: str
    changed: float
    mean_difference: float
    largest_difference: float
    segments: tuple[SegmentDifference, ...]
    p50_ms: float
    p99_ms: float


def backtest(
    predictions: Path,
    endpoint: str,
    candidate: Path,
    *,
    clock: Clock,
    since: datetime | None = None,
    until: datetime | None = None,
    segments: Sequence[str] = (),
) -> Backtest:
    """Replay an endpoint's recorded requests through a candidate's bundle.

    Args:
        predictions: The root of the letterbox.
        endpoint: Whose requests.
        candidate: The unpacked bundle.
        clock: Tells durations.
        since: Only requests from then on.
        until: Only requests before then.
        segments: Columns by whose values differences are reported apart.

    Raises:
        TidemillError: The bundle is missing, damaged, or has no twin.
    """
    model = OnnxModel(candidate)
    frame = _recorded(predictions, endpoint, since, until)
    columns = {
        name.removeprefix(FEATURE): frame[name].to_list()
        for name in frame.columns
        if name.startswith(FEATURE)
    }
    values, scores, refusals = _replay(model, columns, frame.height)
    kept = frame.filter(pl.Series([v is not None for v in values], dtype=pl.Boolean))
    said = [v for v in values if v is not None]
    regression = model.signature.task == "regression"
    differences = _differences(kept, said if regression else [s for s in scores if s is not None])
    changed = np.zeros(len(said), dtype=bool)
    if not regression:
        changed = np.array([a != b for a, b in zip(kept["prediction"], said, strict=True)], bool)
    times = _times(model, columns, frame.height, clock)
    return Backtest(
        endpoint=endpoint,
        rows=frame.height,
        refused=frame.height - len(said),
        refusal=refusals[0] if refusals else "",
        changed=_mean(changed),
        mean_difference=_mean(differences),
        largest_difference=float(np.abs(differences).max(initial=0.0)),
        segments=_segments(kept, segments, changed, differences),
        p50_ms=1000 * float(np.quantile(times, 0.5)) if times else 0.0,
        p99_ms=1000 * float(np.quantile(times, 0.99)) if times else 0.0,
    )


def _recorded(
    predictions: Path, endpoint: str, since: datetime | None, until: datetime | None
) -> pl.DataFrame:
    frame, _ = read_predictions(predictions, endpoint)
    frame = frame.filter(pl.col("role") != "shadow", pl.col("status") == "ok")
    if since is not None:
        frame = frame.filter(pl.col("time") >= micros(since))
    return frame if until is None else frame.filter(pl.col("time") < micros(until))


def _replay(
    model: OnnxModel, columns: dict[str, list[Any]], count: int
) -> tuple[list[Any], list[Any], list[str]]:
    """Return what the candidate says; nothing for the rows that it refuses, and why it does."""
    values: list[Any] = []
    scores: list[Any] = []
    refusals: list[str] = []

    def answer(start: int, end: int) -> None:
        try:
            found = model.predict({n: v[start:end] for n, v in columns.items()})
        except InvalidInput as error:
            if end - start == 1:
                values.append(None)
                scores.append(None)
                refusals.append(str(error))
                return
            middle = (start + end) // 2
            answer(start, middle)
            answer(middle, end)
            return
        values.extend(found.values.tolist())
        scores.extend([None] * (end - start) if found.scores is None else found.scores.tolist())

    for start in range(0, count, _BATCH):
        answer(start, min(start + _BATCH, count))
    return values, scores, refusals


def _differences(kept: pl.DataFrame, said: list[Any]) -> NDArray[np.float64]:
    """Return by how much scores or values are larger; of many classes, the largest change."""
    if not said:
        return np.zeros(0)
    if isinstance(said[0], list):
        before = np.array(kept["score"].to_list(), dtype=np.float64)
        after = np.array(said, dtype=np.float64)
        if before.shape != after.shape:
            return np.ones(len(said))
        change: NDArray[np.float64] = np.abs(after - before).max(axis=1)
        return change
    name = "prediction" if kept["score"].null_count() == kept.height else "score"
    return np.array(said, dtype=np.float64) - np.array(kept[name].to_list(), dtype=np.float64)


def _segments(
    kept: pl.DataFrame,
    names: Sequence[str],
    changed: NDArray[np.bool_],
    differences: NDArray[np.float64],
) -> tuple[SegmentDifference, ...]:
    found = []
    for name in names:
        if FEATURE + name not in kept.columns:
            continue
        column = np.array([str(v) for v in kept[FEATURE + name].to_list()])
        for value in sorted(set(column.tolist())):
            here = column == value
            if here.sum() >= _FEWEST:
                found.append(
                    SegmentDifference(
                        column=name,
                        value=value,
                        rows=int(here.sum()),
                        changed=_mean(changed[here]),
                        mean_difference=_mean(differences[here]),
                    )
                )
    return tuple(sorted(found, key=lambda s: (-s.changed, -abs(s.mean_difference))))


def _times(
    model: OnnxModel, columns: dict[str, list[Any]], count: int, clock: Clock
) -> list[float]:
    """Return how long the candidate takes for rows one at a time, in seconds."""
    times = []
    for row in range(min(count, _TIMED)):
        one = {name: values[row : row + 1] for name, values in columns.items()}
        began = clock.monotonic()
        try:
            model.predict(one)
        except InvalidInput:
            continue
        times.append(clock.monotonic() - began)
    return times


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0
