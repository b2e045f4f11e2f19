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

from tidemill.monitoring.columns import is_named, is_ordered, numbers_of

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
    if is_ordered(values.dtype):
        ordered = np.sort(numbers_of(values))
        first, last = np.searchsorted(ordered, -np.inf, "right"), np.searchsorted(ordered, np.inf)
        finite = ordered[first:last]
        if not len(finite):
            return Scale(True, ())
        # The smallest value that so many do not exceed: one that exists, so that a value which is
        # common has an edge of its own.
        cuts = finite[np.ceil(len(finite) * QUANTILES - 1).astype(np.int64)]
        return Scale(True, tuple(np.unique(cuts).tolist()))
    if not is_named(values.dtype):
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


class BlockIndex(msgspec.Struct, frozen=True):
    """Which rows belong to which block; found once for all columns.

    Attributes:
        blocks: The blocks' numbers, ascending.
        rows: The position of each row's block among them.
    """

    blocks: Counts
    rows: Counts

    @classmethod
    def of(cls, blocks: pl.Series) -> BlockIndex:
        """Return the index of a column of block numbers."""
        numbers = blocks.to_numpy()
        if len(numbers) and (numbers[1:] >= numbers[:-1]).all():
            # Rows mostly come in the order of time, where no sorting is needed.
            begins = np.append(True, numbers[1:] != numbers[:-1])
            return cls(numbers[begins].astype(np.int64), np.cumsum(begins) - 1)
        known, rows = np.unique(numbers, return_inverse=True)
        return cls(known.astype(np.int64), rows)


def count(values: pl.Series, blocks: pl.Series | BlockIndex, scale: Scale) -> BlockCounts:
    """Count a column's values by block.

    Args:
        values: The column, of whatever type it arrived in; what the scale cannot read is missing.
        blocks: The block of each row.
        scale: The reference's.
    """
    index = blocks if isinstance(blocks, BlockIndex) else BlockIndex.of(blocks)
    cells = _number_cells(values, scale.marks) if scale.numeric else _name_cells(values, scale)
    many = len(index.blocks)
    flat = np.bincount(index.rows * scale.cells + cells, minlength=many * scale.cells)
    return BlockCounts(scale, index.blocks, flat.reshape(many, scale.cells))


def _number_cells(values: pl.Series, edges: Sequence[float]) -> Counts:
    """Even cells lie between two edges, odd ones are exactly an edge; missing is the last."""
    numbers = numbers_of(values)
    cells = np.searchsorted(edges, numbers, "left") + np.searchsorted(edges, numbers, "right")
    return np.where(np.isnan(numbers), 2 * len(edges) + 1, cells).astype(np.int64)


def _name_cells(values: pl.Series, scale: Scale) -> Counts:
    position = {name: i for i, name in enumerate(scale.marks)}
    if not (is_named(values.dtype) or is_ordered(values.dtype)):
        return np.full(len(values), scale.cells - 1, dtype=np.int64)
    named = values.cast(pl.String)
    cells = named.replace_strict(position, default=scale.cells - 2, return_dtype=pl.Int64)
    return np.where(named.is_null(), scale.cells - 1, cells).astype(np.int64)
