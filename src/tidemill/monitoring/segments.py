"""Quality apart for the rows that share a value, or the values of two columns."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

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
BETWEEN = " & "
"""What stands between the names of two columns, and between their values."""
OTHER = "(other)"
MISSING = "(missing)"


def values_of(rows: pl.DataFrame, segment: str) -> pl.Series | None:
    """Return each row's value of a segment as text, or nothing where a column is not there.

    Args:
        rows: With prefixed features.
        segment: A column, or two with ` & ` between them.

    Example:
        >>> rows = pl.DataFrame({"feature.a": ["x", None], "feature.b": [1, 2]})
        >>> values_of(rows, "a & b").to_list(), values_of(rows, "c")
        (['x & 1', '(missing) & 2'], None)
    """
    names = [segment] if FEATURE + segment in rows.columns else segment.split(BETWEEN)
    columns = [FEATURE + name.strip() for name in names]
    if any(c not in rows.columns or rows[c].dtype.is_nested() for c in columns):
        return None
    texts = [pl.col(c).cast(pl.String).fill_null(MISSING) for c in columns]
    return rows.select(pl.concat_str(texts, separator=BETWEEN).alias("value"))["value"]


def frequent(values: pl.Series) -> list[str]:
    """Return the most frequent values, in their order as text.

    Example:
        >>> frequent(pl.Series(["b", "a", "b"]))
        ['a', 'b']
    """
    counts = values.rename("v").value_counts()
    ranked = counts.sort(["count", "v"], descending=[True, False]).head(MOST_SEGMENTS)
    return sorted(ranked["v"].to_list())


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
        values, usual = values_of(answered, segment), values_of(held, segment)
        if values is None:
            continue
        for value in frequent(values.filter(answered["label"].is_not_null())):
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
