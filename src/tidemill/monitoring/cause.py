"""Why quality changed: which columns' shift explains it, and what no shift explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.monitoring.records import Cause

Floats = NDArray[np.float64]
BINS = 10


def causes(
    reference: pl.DataFrame,
    reference_losses: Floats,
    window: pl.DataFrame,
    window_losses: Floats,
    columns: Sequence[str],
) -> tuple[Cause, ...]:
    """Return the columns whose own shift explains a change of mean loss, the largest part first.

    For each column the reference's rows are reweighted to the window's distribution of that column
    alone; the mean loss changes by what that shift brings, and the relation of the column to the
    loss stays as it was.

    Args:
        reference: Held-out rows.
        reference_losses: Their losses.
        window: Labelled rows of the window.
        window_losses: Their losses.
        columns: Which columns to consider.

    Reference: the "composition" term of Kitagawa, Components of a difference between two rates,
    Journal of the American Statistical Association 50, 1955.

    Example:
        >>> calm = pl.DataFrame({"rain": [0.0] * 90 + [1.0] * 10})
        >>> loss = calm["rain"].to_numpy() * 2.0
        >>> wet = pl.DataFrame({"rain": [0.0] * 40 + [1.0] * 60})
        >>> causes(calm, loss, wet, wet["rain"].to_numpy() * 2.0, ["rain"])
        (Cause(column='rain', shift=1.0, share=1.0),)
    """
    change = float(window_losses.mean() - reference_losses.mean())
    found = []
    for column in columns:
        if column not in reference.columns or column not in window.columns:
            continue
        shift = _composition(reference[column], reference_losses, window[column])
        share = shift / change if abs(change) > 1e-12 else 0.0
        found.append(Cause(column=column, shift=shift, share=share))
    return tuple(sorted(found, key=lambda c: -c.share))


def _composition(reference: pl.Series, losses: Floats, window: pl.Series) -> float:
    usual, now = _codes(reference, window)
    groups = int(max(usual.max(), now.max())) + 1
    counts = np.bincount(usual, minlength=groups)
    mean = np.bincount(usual, weights=losses, minlength=groups) / np.maximum(counts, 1)
    # A group that the reference has never seen says nothing of its loss: the mean is kept.
    mean[counts == 0] = losses.mean()
    weights = np.bincount(now, minlength=groups) / len(now) - counts / len(usual)
    return float((weights * mean).sum())


def _codes(reference: pl.Series, window: pl.Series) -> tuple[NDArray[Any], NDArray[Any]]:
    """Number the groups of a column alike for both: deciles of the reference, or its categories."""
    if reference.dtype.is_numeric():
        known = _numbers(reference)
        present = known[~np.isnan(known)]
        cuts = np.quantile(present, np.arange(1, BINS) / BINS) if len(present) else present
        edges = np.unique(cuts)
        return _bins(known, edges), _bins(_numbers(window), edges)
    texts = pl.concat([reference.cast(pl.String), window.cast(pl.String)]).fill_null("")
    codes = texts.rank("dense").to_numpy().astype(np.int64) - 1
    return codes[: len(reference)], codes[len(reference) :]


def _numbers(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _bins(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Return each value's bin; missing values have one of their own."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
