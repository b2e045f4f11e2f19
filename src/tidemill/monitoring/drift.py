"""Block-calibrated drift: an alarm with a stated false-alarm rate.

Rows of one day are alike, so that tests which take them as independent cry wolf on any amount of
data. Here one block of time is one observation: a window of `d` blocks is compared with the
reference's `D` blocks, and what chance would give is taken from the reference itself, by drawing
`d` of its blocks against the rest again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl

from tidemill.monitoring.blocks import (
    BlockCounts,
    BlockIndex,
    Counts,
    Floats,
    Scale,
    count,
    scale_of,
)
from tidemill.monitoring.chosen import lasting_share
from tidemill.monitoring.records import ColumnDrift, JointDrift

SPLITS = 300
LEAST_BLOCKS = 8
_EULER = 0.5772156649015329


class Calibration(msgspec.Struct, frozen=True):
    """What chance gives for one column and one length of window.

    Attributes:
        mean: Each level's share over the reference's rows.
        scale: The standard deviation of that share between blocks.
        rows: The rows of a typical block.
        blocks: The reference's blocks.
        location: Of the Gumbel distribution of the statistic where nothing moved.
        spread: Its scale.
    """

    mean: Floats
    scale: Floats
    rows: float
    blocks: int
    location: float
    spread: float


def calibrate(
    reference: BlockCounts, length: int, seed: int = 0, *, lasting: float = 1.0
) -> Calibration:
    """Learn from the reference what chance gives for windows of `length` blocks.

    Reference: the statistic is a studentised maximum; its null is the permutation distribution over
    whole blocks (Politis, Romano and Wolf, Subsampling, 1999), smoothed by a Gumbel distribution
    fitted by moments (Gumbel, Statistics of extremes, 1958).

    Args:
        reference: The reference by blocks.
        length: The window's blocks.
        seed: Of the resampling.
        lasting: Which part of the named categories' share is left where they were not chosen.
    """
    levels, rows = reference.levels(), reference.rows
    many = len(rows)
    typical = float(np.median(rows))
    floor = 1.0 / (4.0 * max(typical, 1.0))
    draws = np.random.default_rng(seed).random((SPLITS, many))
    inside = (np.argsort(np.argsort(draws, axis=1), axis=1) < length).astype(np.float64)
    drawn, spread_of_drawn = _share_and_scale(levels, rows, inside, floor)
    rest, spread_of_rest = _share_and_scale(levels, rows, 1 - inside, floor)
    width = _variance(spread_of_rest, spread_of_drawn, length, many - length)
    null = (np.abs(drawn - rest) / np.sqrt(width)).max(axis=1)
    spread = max(float(null.std(ddof=1)) * math.sqrt(6) / math.pi, 1e-6)
    mean, scale = _share_and_scale(levels, rows, np.ones((1, many)), floor)
    return Calibration(
        mean=mean[0] if reference.scale.numeric else _unchosen(mean[0], lasting),
        scale=scale[0],
        rows=typical,
        blocks=many,
        location=float(null.mean()) - _EULER * spread,
        spread=spread,
    )


def _unchosen(shares: Floats, lasting: float) -> Floats:
    """Return the shares of categories, the others and what is missing, without luck."""
    named = shares[:-2] * lasting
    lucky = shares[:-2].sum() - named.sum()
    return np.array([*named, shares[-2] + lucky, shares[-1]])


def distance(calibration: Calibration, window: BlockCounts) -> tuple[float, float]:
    """Return the chance of such a distance where nothing moved, and the size of the effect.

    A window with fewer rows a block than the reference is judged with the noise that this adds. One
    whose own blocks differ more than the reference's is judged by how they differ: a single odd day
    does not make a drift.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> usual, days = pl.Series(rng.normal(size=30_000)), pl.Series(np.arange(30_000) // 1000)
        >>> reference = count(usual, days, scale_of(usual))
        >>> learned = calibrate(reference, length=7)
        >>> week = days.head(7000)
        >>> same = count(pl.Series(rng.normal(size=7000)), week, reference.scale)
        >>> moved = count(pl.Series(rng.normal(loc=0.3, size=7000)), week, reference.scale)
        >>> distance(learned, same)[0] > 0.01, distance(learned, moved)[0] < 1e-6
        (True, True)
    """
    rows = window.rows
    mean = window.levels().sum(axis=0) / rows.sum()
    length = rows.sum() ** 2 / (rows**2).sum()
    noise = calibration.mean * (1 - calibration.mean)
    fewer = max(0.0, length / rows.sum() - 1 / calibration.rows)
    floor = 1.0 / (4.0 * max(calibration.rows, 1.0))
    chosen = np.ones((1, len(rows)))
    _, spread = _share_and_scale(window.levels(), rows, chosen, floor)
    variance = _variance(calibration.scale, spread[0], length, calibration.blocks)
    variance = variance + noise * fewer / length
    gaps = np.abs(mean - calibration.mean)
    statistic = float((gaps / np.sqrt(variance)).max())
    p_value = -math.expm1(-math.exp(-(statistic - calibration.location) / calibration.spread))
    effect = float(gaps.max() if window.scale.numeric else gaps.sum() / 2)
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


def decided(
    columns: Sequence[ColumnDrift],
    joint: Sequence[JointDrift],
    *,
    q: float,
    least_effect: float,
) -> tuple[tuple[ColumnDrift, ...], tuple[JointDrift, ...]]:
    """Return which single columns and which columns together count, as one family of tests.

    Args:
        columns: Of a window.
        joint: Of the same window.
        q: The false-discovery rate across all of them.
        least_effect: The least effect that counts.
    """
    chosen = benjamini_hochberg([*(c.p_value for c in columns), *(j.p_value for j in joint)], q)
    many = len(columns)
    alone = (
        msgspec.structs.replace(c, drifted=passed and c.effect >= least_effect)
        for c, passed in zip(columns, chosen[:many], strict=True)
    )
    together = (
        msgspec.structs.replace(j, drifted=passed and j.effect >= least_effect)
        for j, passed in zip(joint, chosen[many:], strict=True)
    )
    return tuple(alone), tuple(together)


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
        self.unreadable: list[str] = []
        self._counts: dict[str, BlockCounts] = {}
        self._lasting: dict[str, float] = {}
        index = BlockIndex.of(blocks)
        for column in columns:
            if column not in rows.columns:
                continue
            scale = scale_of(rows[column])
            if scale is None:
                self.unreadable.append(column)
            else:
                self._counts[column] = count(rows[column], index, scale)
                self._lasting[column] = lasting_share(rows[column], index, scale)
        self._texts = {c: typical(rows[c]) for c in self._counts}
        self._calibrations: dict[tuple[str, int], Calibration] = {}
        self._seed = seed

    def compare(
        self,
        rows: pl.DataFrame,
        blocks: pl.Series,
        *,
        q: float,
        least_effect: float,
        earlier: Sequence[dict[str, BlockCounts]] = (),
    ) -> tuple[tuple[ColumnDrift, ...], str]:
        """Compare a window; return the columns, or why that cannot be judged.

        A column that does not arrive counts as missing in every row.

        Args:
            rows: The window's rows.
            blocks: The block of each.
            q: The false-discovery rate across columns; also the chance of any false alarm in a
                window in which nothing moved.
            least_effect: The least effect that counts.
            earlier: Counts of stretches just before the window. Each is judged together with it,
                so that a small shift that lasts is noticed; the chance of a false alarm stays what
                it is, since a column's p-value is multiplied by the number of lengths tried.
        """
        if rows.height == 0:
            return (), "Drift cannot be judged, because the window is empty."
        absent = pl.Series("absent", [None] * rows.height, dtype=pl.Null)
        windows = {c: rows[c] if c in rows.columns else absent for c in self._counts}
        index = BlockIndex.of(blocks)
        counted = {c: count(v, index, self._counts[c].scale) for c, v in windows.items()}
        return self._compared(
            counted,
            {c: typical(v) for c, v in windows.items()},
            q=q,
            least_effect=least_effect,
            earlier=earlier,
        )

    def compare_counts(
        self, counted: dict[str, BlockCounts], *, q: float, least_effect: float
    ) -> tuple[tuple[ColumnDrift, ...], str]:
        """Compare a window of which only the counts are known, as `compare` does its rows."""
        known = {c: w for c, w in counted.items() if w.counts.sum()}
        if not known:
            return (), "Drift cannot be judged, because the window is empty."
        texts = {c: typical_of_counts(w) for c, w in known.items()}
        return self._compared(known, texts, q=q, least_effect=least_effect)

    def counted(self, rows: pl.DataFrame) -> dict[str, Floats]:
        """Count rows of one block, column by column, on the reference's scales."""
        here = pl.Series("block", np.zeros(rows.height, dtype=np.int64))
        absent = pl.Series("absent", [None] * rows.height, dtype=pl.Null)
        found = {}
        for column, scale in self.scales.items():
            values = rows[column] if column in rows.columns else absent
            found[column] = count(values, here, scale).counts[0].astype(np.float64)
        return found

    @property
    def scales(self) -> dict[str, Scale]:
        """What each column is counted by."""
        return {column: known.scale for column, known in self._counts.items()}

    @property
    def usual(self) -> dict[str, Counts]:
        """How many of the reference's values lie in each cell of the columns' scales."""
        return {c: counts.counts.sum(axis=0) for c, counts in self._counts.items()}

    def _compared(
        self,
        counted: dict[str, BlockCounts],
        texts: dict[str, str],
        *,
        q: float,
        least_effect: float,
        earlier: Sequence[dict[str, BlockCounts]] = (),
    ) -> tuple[tuple[ColumnDrift, ...], str]:
        length = max((len(w.blocks) for w in counted.values()), default=0)
        least = max(LEAST_BLOCKS, length + 2)
        if self.blocks < least:
            return (), (
                f"Drift cannot be judged, because the reference has {self.blocks} blocks of time "
                f"and a window of {length} needs {least}."
            )
        tried = {c: self._tried(c, w, earlier, least_effect) for c, w in counted.items()}
        found = {c: (p_value, effect) for c, (p_value, effect, _) in tried.items()}
        chosen = benjamini_hochberg([p for p, _ in found.values()], q)
        columns = tuple(
            ColumnDrift(
                column=column,
                p_value=p_value,
                effect=effect,
                drifted=passed and effect >= least_effect,
                reference=self._texts[column],
                current=texts[column],
                missing_reference=_missing(self._counts[column]),
                missing=_missing(counted[column]),
                blocks=tried[column][2],
            )
            for (column, (p_value, effect)), passed in zip(found.items(), chosen, strict=True)
        )
        return columns, self._unreadable()

    def _tried(
        self,
        column: str,
        window: BlockCounts,
        earlier: Sequence[dict[str, BlockCounts]],
        least_effect: float,
    ) -> tuple[float, float, int]:
        """Return the p-value and effect of a column over the most telling length, and that length.

        A longer stretch tells nothing of the window where the column is back in its place there.
        """
        many = len(window.blocks)
        alone = distance(self._calibration(column, many), window)
        stretches = [e[column] for e in earlier if column in e]
        wholes = [_after(s, window) for s in stretches]
        wholes = [w for w in wholes if len(w.blocks) * 2 <= self.blocks]
        found = [(*alone, many)]
        if alone[1] >= least_effect / 2:
            lengths = ((len(w.blocks), w) for w in wholes)
            found += [(*distance(self._calibration(column, n), w), n) for n, w in lengths]
        p_value, effect, length = min(found)
        return min(1.0, p_value * (1 + len(wholes))), effect, length

    def _unreadable(self) -> str:
        named = ", ".join(f"`{c}`" for c in self.unreadable)
        return f"Drift of {named} cannot be judged: these are not single values." if named else ""

    def _calibration(self, column: str, length: int) -> Calibration:
        key = (column, length)
        if key not in self._calibrations:
            counts, lasting = self._counts[column], self._lasting[column]
            self._calibrations[key] = calibrate(counts, length, self._seed, lasting=lasting)
        return self._calibrations[key]


def typical(values: pl.Series) -> str:
    """Say what is usual in a column: the median of numbers, else the most frequent value.

    Example:
        >>> typical(pl.Series([1.0, 2.0, 4.0])), typical(pl.Series(["a", "b", "b", "b"]))
        ('2', 'b (75%)')
        >>> typical(pl.Series([None, None]))
        'nothing'
    """
    present = values.drop_nulls()
    if values.dtype.is_float():
        present = present.drop_nans()
    if len(present) == 0:
        return "nothing"
    if values.dtype.is_numeric():
        return f"{float(present.median() or 0.0):.4g}"  # type: ignore[arg-type]
    if values.dtype.is_nested():
        return "many values"
    names = present.cast(pl.String).rename("v")
    top = names.value_counts().sort(["count", "v"], descending=[True, False]).row(0)
    return f"{top[0]} ({top[1] / len(values):.0%})"


def typical_of_counts(window: BlockCounts) -> str:
    """Say what is usual in a window of which only the counts are known.

    The median is told to the nearest edge of the scale, a twentieth of the reference.

    Example:
        >>> values = pl.Series([1.0, 2.0, 2.0, 3.0])
        >>> typical_of_counts(count(values, pl.Series([0] * 4), Scale(True, (1.0, 2.0, 3.0))))
        '2'
        >>> values = pl.Series(["a", "b", "b", "x", "y", "z"])
        >>> typical_of_counts(count(values, pl.Series([0] * 6), Scale(False, ("a", "b"))))
        'b (33%)'
    """
    counts = window.counts.sum(axis=0)
    present = int(counts[:-1].sum())
    if not present or not window.scale.marks:
        return "nothing" if not present else "unknown"
    if window.scale.numeric:
        heights = np.cumsum(counts[:-1])[1::2]
        place = int(np.searchsorted(heights, present / 2))
        past = place >= len(window.scale.marks)
        return f"{'over ' if past else ''}{window.scale.marks[-1 if past else place]:.4g}"
    # All others together are no value: they are told only where there is nothing else.
    named = counts[: len(window.scale.marks)]
    top = int(np.argmax(named)) if named.any() else len(named)
    name = window.scale.marks[top] if named.any() else "other"
    return f"{name} ({counts[top] / counts.sum():.0%})"


def _variance(usual: Floats, own: Floats, length: float, blocks: float) -> Floats:
    """Return the variance of the difference of a window's share and the reference's.

    Args:
        usual: The deviation between the reference's blocks.
        own: The deviation between the window's blocks.
        length: The window's blocks.
        blocks: The reference's.
    """
    return np.asarray(np.maximum(usual, own) ** 2 / length + usual**2 / blocks)


def _share_and_scale(
    levels: Floats, rows: Floats, chosen: Floats, floor: float
) -> tuple[Floats, Floats]:
    """Return shares, and their deviation between blocks, for each choice of blocks.

    Args:
        levels: Counts, one row a block.
        rows: The rows of each block, which are its weight.
        chosen: One row a choice: 1 for a block that belongs to it, else 0.
        floor: The least deviation: what one row in four can make of a block.
    """
    weight = (chosen @ rows)[:, None]
    share = (chosen @ levels) / weight
    squares = (chosen @ (levels**2 / rows[:, None])) / weight - share**2
    many = chosen.sum(axis=1)[:, None]
    deviation = np.sqrt(np.maximum(squares, 0.0) * many / np.maximum(many - 1, 1))
    return share, np.maximum(deviation, floor)


def _after(earlier: BlockCounts, window: BlockCounts) -> BlockCounts:
    """Return both as one stretch; blocks are told apart by place, whatever their numbers."""
    counts = np.concatenate([earlier.counts, window.counts])
    return BlockCounts(window.scale, np.arange(len(counts), dtype=np.int64), counts)


def _missing(counts: BlockCounts) -> float:
    return float(counts.counts[:, -1].sum() / max(counts.counts.sum(), 1))
