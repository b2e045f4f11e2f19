"""Block-calibrated drift: an alarm with a stated false-alarm rate.

Rows of one day are alike, so that tests which take them as independent cry wolf on any amount of
data. Here one block of time is one observation: a window of `d` blocks is compared with the
reference's `D` blocks, and what chance would give is taken from the reference itself, by drawing
`d` of its blocks against the rest again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.monitoring.records import ColumnDrift

Floats = NDArray[np.float64]
QUANTILES = tuple(q / 20 for q in range(1, 20))
MOST_CATEGORIES = 30
SPLITS = 300
LEAST_BLOCKS = 8
_EULER = 0.5772156649015329


class BlockProfile(msgspec.Struct, frozen=True):
    """A column by blocks, on the reference's own scale.

    Attributes:
        numeric: Whether shares below edges are kept; else shares of categories.
        edges: The edges (5% to 95% quantiles of the reference), or the categories.
        shares: For each block, the share of rows below each edge, or in each category; the last
            column is the share of missing values.
        weights: The rows of each block.
    """

    numeric: bool
    edges: list[Any]
    shares: Floats
    weights: Floats


def profile(
    values: pl.Series, blocks: pl.Series, edges: Sequence[Any] | None = None
) -> BlockProfile:
    """Return a column's shares by block.

    Args:
        values: The column.
        blocks: The block of each row.
        edges: The reference's edges or categories; found from the values where left out.
    """
    numeric = values.dtype.is_numeric() or values.dtype == pl.Boolean
    whole = values.cast(pl.Float64) if numeric else values.cast(pl.String)
    known = list(edges) if edges is not None else _edges(whole, numeric=numeric)
    if numeric:
        exprs = [(pl.col("v") < e).sum() / pl.len() for e in known]
    else:
        exprs = [(pl.col("v") == c).sum() / pl.len() for c in known]
    frame = pl.DataFrame({"v": whole, "b": blocks})
    grouped = frame.group_by("b", maintain_order=True).agg(
        *(e.alias(f"s{i}") for i, e in enumerate(exprs)),
        pl.col("v").is_null().mean().alias("missing"),
        pl.len().cast(pl.Float64).alias("rows"),
    )
    shares = grouped.select(pl.exclude("b", "rows")).to_numpy().astype(np.float64)
    return BlockProfile(numeric, known, shares, grouped["rows"].to_numpy())


class Calibration(msgspec.Struct, frozen=True):
    """What chance gives for one column and one length of window.

    Attributes:
        mean: Each share's mean over the reference's blocks.
        scale: Each share's standard deviation between blocks.
        location: Of the Gumbel distribution of the statistic where nothing moved.
        spread: Its scale.
        blocks: The reference's blocks.
    """

    mean: Floats
    scale: Floats
    location: float
    spread: float
    blocks: int


def calibrate(reference: BlockProfile, length: int, seed: int = 0) -> Calibration:
    """Learn from the reference what chance gives for windows of `length` blocks.

    Reference: the statistic is a studentised maximum; its null is the permutation distribution over
    whole blocks (Politis and Romano, Subsampling, 1999), smoothed by a Gumbel distribution fitted
    by moments (Gumbel, Statistics of extremes, 1958).

    Args:
        reference: The reference by blocks.
        length: The window's blocks.
        seed: Of the resampling.
    """
    shares = reference.shares
    count = len(shares)
    rows = float(np.median(reference.weights))
    floor = 1.0 / (4.0 * max(rows, 1.0))
    scale = np.maximum(shares.std(axis=0, ddof=1), floor)
    rng = np.random.default_rng(seed)
    chosen = np.argsort(rng.random((SPLITS, count)), axis=1)[:, :length]
    picked = shares[chosen]
    inside = picked.sum(axis=1)
    rest = (shares.sum(axis=0) - inside) / (count - length)
    spread_rest = _rest_scale(shares, picked, rest, count - length, floor)
    width = math.sqrt(1 / length + 1 / (count - length))
    null = (np.abs(inside / length - rest) / (spread_rest * width)).max(axis=1)
    spread = max(float(null.std(ddof=1)) * math.sqrt(6) / math.pi, 1e-6)
    return Calibration(
        shares.mean(axis=0), scale, float(null.mean()) - _EULER * spread, spread, count
    )


def distance(calibration: Calibration, window: BlockProfile) -> tuple[float, float]:
    """Return the chance of such a distance where nothing moved, and the size of the effect.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> usual = pl.Series(rng.normal(size=30_000))
        >>> days = pl.Series(np.repeat(np.arange(30), 1000))
        >>> reference = profile(usual, days)
        >>> learned = calibrate(reference, length=7)
        >>> week = pl.Series(np.repeat(np.arange(7), 1000))
        >>> same = profile(pl.Series(rng.normal(size=7000)), week, reference.edges)
        >>> moved = profile(pl.Series(rng.normal(loc=0.3, size=7000)), week, reference.edges)
        >>> distance(learned, same)[0] > 0.01, distance(learned, moved)[0] < 1e-6
        (True, True)
    """
    mean = np.average(window.shares, axis=0, weights=window.weights)
    width = math.sqrt(1 / len(window.shares) + 1 / calibration.blocks)
    gaps = np.abs(mean - calibration.mean)
    statistic = float((gaps / (calibration.scale * width)).max())
    p_value = -math.expm1(-math.exp(-(statistic - calibration.location) / calibration.spread))
    if window.numeric:
        effect = float(gaps.max())
    else:
        unseen = max(0.0, (1 - mean.sum()) - (1 - calibration.mean.sum()))
        effect = float((gaps.sum() + unseen) / 2)
    return p_value, effect


def benjamini_hochberg(p_values: Sequence[float], q: float) -> list[bool]:
    """Return which of several tests count when the share of false ones is held at `q`.

    Reference: Benjamini and Hochberg, Controlling the false discovery rate, Journal of the Royal
    Statistical Society B 57, 1995.

    Example:
        >>> benjamini_hochberg([0.001, 0.9, 0.012, 0.04], 0.05)
        [True, False, True, False]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    last = 0
    for rank, i in enumerate(order, 1):
        if p_values[i] <= q * rank / len(p_values):
            last = rank
    passed = set(order[:last])
    return [i in passed for i in range(len(p_values))]


class DriftReference:
    """A version's reference, ready to compare windows with.

    Args:
        rows: The reference's rows.
        blocks: The block of each.
        columns: Which columns.
        seed: Of the resampling.
    """

    def __init__(
        self, rows: pl.DataFrame, blocks: pl.Series, columns: Sequence[str], seed: int = 0
    ) -> None:
        self.blocks = blocks.n_unique()
        self._profiles = {c: profile(rows[c], blocks) for c in columns if c in rows.columns}
        self._texts = {c: _typical(rows[c]) for c in self._profiles}
        self._calibrations: dict[tuple[str, int], Calibration] = {}
        self._seed = seed

    def compare(
        self, rows: pl.DataFrame, blocks: pl.Series, *, q: float, least_effect: float
    ) -> tuple[tuple[ColumnDrift, ...], str]:
        """Compare a window; return the columns, or why that cannot be judged.

        Args:
            rows: The window's rows.
            blocks: The block of each.
            q: The false-discovery rate across columns.
            least_effect: The least effect that counts.
        """
        length = blocks.n_unique()
        if self.blocks < max(LEAST_BLOCKS, length + 2):
            return (), (
                f"Drift cannot be judged, because the reference has {self.blocks} blocks of time "
                f"and a window of {length} needs {max(LEAST_BLOCKS, length + 2)}."
            )
        found = []
        for column, reference in self._profiles.items():
            if column not in rows.columns or rows.height == 0:
                continue
            window = profile(rows[column], blocks, reference.edges)
            p_value, effect = distance(self._calibration(column, length), window)
            found.append((column, p_value, effect, reference, window))
        chosen = benjamini_hochberg([f[1] for f in found], q)
        return tuple(
            ColumnDrift(
                column=column,
                p_value=p_value,
                effect=effect,
                drifted=passed and effect >= least_effect,
                reference=self._texts[column],
                current=_typical(rows[column]),
                missing_reference=float(reference.shares[:, -1].mean()),
                missing=float(window.shares[:, -1].mean()),
            )
            for (column, p_value, effect, reference, window), passed in zip(
                found, chosen, strict=True
            )
        ), ""

    def _calibration(self, column: str, length: int) -> Calibration:
        key = (column, length)
        if key not in self._calibrations:
            self._calibrations[key] = calibrate(self._profiles[column], length, self._seed)
        return self._calibrations[key]


def _rest_scale(shares: Floats, picked: Floats, rest: Floats, count: int, floor: float) -> Floats:
    """Return the standard deviation between the blocks that were not picked, for each split."""
    squares = (shares**2).sum(axis=0) - (picked**2).sum(axis=1)
    variance = np.maximum(squares - count * rest**2, 0.0) / max(count - 1, 1)
    return np.asarray(np.maximum(np.sqrt(variance), floor))


def _edges(values: pl.Series, *, numeric: bool) -> list[Any]:
    present = values.drop_nulls()
    if numeric:
        finite = present.filter(present.is_finite())
        return (
            sorted({float(finite.quantile(q) or 0.0) for q in QUANTILES}) if len(finite) else [0.0]
        )
    counts = present.value_counts(sort=True).head(MOST_CATEGORIES)
    return sorted(counts[counts.columns[0]].to_list())


def _typical(values: pl.Series) -> str:
    present = values.drop_nulls()
    if len(present) == 0:
        return "nothing"
    if values.dtype.is_numeric():
        return f"{float(present.median() or 0.0):.4g}"  # type: ignore[arg-type]
    top = present.cast(pl.String).value_counts(sort=True).row(0)
    return f"{top[0]} ({top[1] / len(values):.0%})"
