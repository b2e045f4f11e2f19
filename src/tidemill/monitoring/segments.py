"""Quality apart for the rows that share a value, or the values of two columns."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tidemill.datasets.segments import frequent, values_of
from tidemill.models.records import Signature
from tidemill.monitoring.performance import (
    LEAST_ROWS,
    defined,
    metrics_of_rows,
)
from tidemill.monitoring.quality import spans
from tidemill.monitoring.records import SegmentQuality
from tidemill.predictions.reader import FEATURE

MOST_SEGMENTS = 12
OTHER = "(other)"


def by_segment(
    signature: Signature,
    answered: pl.DataFrame,
    held: pl.DataFrame,
    segments: Sequence[str],
    names: Sequence[str],
) -> tuple[SegmentQuality, ...]:
    """Return quality apart for the most frequent values of each segment.

    Args:
        signature: Of the model.
        answered: The window's answers, with `label` where it is known, and `block`.
        held: The version's held-out rows, for what was usual.
        segments: Columns, or pairs of them.
        names: Which metrics.
    """
    found = []
    for segment in segments:
        values, usual = (values_of(r, segment, prefix=FEATURE) for r in (answered, held))
        if values is None:
            continue
        for value in frequent(values.filter(answered["label"].is_not_null()), MOST_SEGMENTS):
            mine = answered.filter(values == value)
            labelled = mine.filter(pl.col("label").is_not_null())
            if labelled.height < LEAST_ROWS:
                continue
            metrics = defined(metrics_of_rows(signature, labelled, names))
            before = held.head(0) if usual is None else held.filter(usual == value)
            found.append(
                SegmentQuality(
                    column=segment,
                    value=value,
                    rows=labelled.height,
                    metrics=metrics,
                    intervals=spans(signature, labelled, metrics),
                    predictions=mine.height,
                    coverage=labelled.height / mine.height,
                    reference=_usual(signature, before, names),
                )
            )
    return tuple(found)


def _usual(signature: Signature, rows: pl.DataFrame, names: Sequence[str]) -> dict[str, float]:
    if rows.height < LEAST_ROWS:
        return {}
    return defined(metrics_of_rows(signature, rows, names))
