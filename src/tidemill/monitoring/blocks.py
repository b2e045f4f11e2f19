"""Sketches of a column by blocks of time: small, mergeable, and all that drift needs to know.

A block's sketch is a row of counts: how many values lie between, and exactly on, the edges of the
reference (5% to 95%), or in each of its categories; and how many are missing. Sketches of the same
scale add up, in any order; no raw value is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
QUANTILES = np.arange(1, 20) / 20
MOST_CATEGORIES = 30


class Scale(msgspec.Struct, frozen=True):
    """What a column's values are counted by.

    Attributes:
        numeric: Whether values are ordered; else they are categories.
        marks: The edges, ascending, or the categories.
    """

    numeric: bool
    marks: tuple[Any, ...]

    @property
    def cells(self) -> int:
        """How many counts a block has; the last is for missing values."""
        return 2 * len(self.marks) + 2 if self.numeric else len(self.marks) + 2


def scale_of(values: pl.Series) -> Scale | None:
    """Return a scale for a column's values, or nothing where they cannot be counted.

    Example:
        >>> scale_of(pl.Series(["b", "a", "b", None])).marks
        ('a', 'b')
        >>> scale_of(pl.Series([0, 0, 0, 1])).marks
        (0.0, 1.0)
    """
    if _ordered(values.dtype):
        numbers = _numbers(values)
        finite = numbers[np.isfinite(numbers)]
        if not len(finite):
            return Scale(True, ())
        cuts = np.quantile(finite, QUANTILES, method="inverted_cdf")
        return Scale(True, tuple(np.unique(cuts).tolist()))
    if not _named(values.dtype):
        return None
    counts = values.cast(pl.String).drop_nulls().rename("v").value_counts(sort=True)
    ranked = counts.sort(["count", "v"], descending=[True, False])
    return Scale(False, tuple(sorted(ranked["v"].head(MOST_CATEGORIES))))


class BlockCounts(msgspec.Struct, frozen=True):
    """A column's values, counted by block.

    Attributes:
        scale: What they are counted by.
        blocks: The blocks' numbers, ascending.
        counts: One row a block, one column a cell of the scale.
    """

    scale: Scale
    blocks: Counts
    counts: Counts

    @property
    def rows(self) -> Floats:
        """How many values each block has, missing ones included."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64)

    def levels(self) -> Floats:
        """Return, for each block, the counts that are compared.

        For numbers those are the counts below, and up to, each edge; for categories the counts
        themselves. The last is the count of missing values.
        """
        if not self.scale.numeric:
            return self.counts.astype(np.float64)
        whole = np.cumsum(self.counts[:, :-2], axis=1)
        return np.column_stack([whole, self.counts[:, -1]]).astype(np.float64)

    def merge(self, other: BlockCounts) -> BlockCounts:
        """Return the sketch of both together.

        Example:
            >>> scale = Scale(True, (1.0,))
            >>> one = count(pl.Series([0.5, 1.0]), pl.Series([7, 7]), scale)
            >>> two = count(pl.Series([2.0, None]), pl.Series([7, 8]), scale)
            >>> both = one.merge(two)
            >>> both.blocks.tolist(), both.counts.tolist()
            ([7, 8], [[1, 1, 1, 0], [0, 0, 0, 1]])
        """
        blocks = np.union1d(self.blocks, other.blocks)
        counts = np.zeros((len(blocks), self.scale.cells), dtype=np.int64)
        for part in (self, other):
            counts[np.searchsorted(blocks, part.blocks)] += part.counts
        return BlockCounts(self.scale, blocks, counts)


def count(values: pl.Series, blocks: pl.Series, scale: Scale) -> BlockCounts:
    """Count a column's values by block.

    Args:
        values: The column, of whatever type it arrived in; what the scale cannot read is missing.
        blocks: The block of each row.
        scale: The reference's.
    """
    cells = _number_cells(values, scale.marks) if scale.numeric else _name_cells(values, scale)
    known, rows = np.unique(blocks.to_numpy(), return_inverse=True)
    flat = np.bincount(rows * scale.cells + cells, minlength=len(known) * scale.cells)
    return BlockCounts(scale, known.astype(np.int64), flat.reshape(len(known), scale.cells))


def _number_cells(values: pl.Series, edges: Sequence[float]) -> Counts:
    """Even cells lie between two edges, odd ones are exactly an edge; missing is the last."""
    numbers = _numbers(values)
    cells = np.searchsorted(edges, numbers, "left") + np.searchsorted(edges, numbers, "right")
    return np.where(np.isnan(numbers), 2 * len(edges) + 1, cells).astype(np.int64)


def _name_cells(values: pl.Series, scale: Scale) -> Counts:
    position = {name: i for i, name in enumerate(scale.marks)}
    if not (_named(values.dtype) or _ordered(values.dtype)):
        return np.full(len(values), scale.cells - 1, dtype=np.int64)
    named = values.cast(pl.String)
    cells = named.replace_strict(position, default=scale.cells - 2, return_dtype=pl.Int64)
    return np.where(named.is_null(), scale.cells - 1, cells).astype(np.int64)


def _ordered(dtype: Any) -> bool:
    return bool(dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.Boolean, pl.Null))


def _named(dtype: Any) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _numbers(values: pl.Series) -> Floats:
    if not (_ordered(values.dtype) or _named(values.dtype)):
        return np.full(len(values), np.nan)
    plain = values.to_physical() if values.dtype.is_temporal() else values
    plain = plain.cast(pl.String) if _named(plain.dtype) else plain
    return plain.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
