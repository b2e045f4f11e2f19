"""Sketches of whole columns: small, mergeable, and all that a comparison of two tables needs.

A sketch of numbers holds either every value in order, or a fixed number of them at equal steps of
rank; a sketch of categories holds how often each came. Everything that is read from one (shares,
quantiles, distances) is read in the same way from both kinds, so that an exact comparison and one
in constant memory differ in nothing but the error that the sketch states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.datasets.ranks import STRETCH, ascending, values_at

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Form = Literal["number", "moment", "truth"]
POINTS = 4096
MOST_NAMES = 4096


class Moments(msgspec.Struct, frozen=True):
    """The sums from which mean, deviation and skewness of finite values follow.

    Attributes:
        many: How many values.
        mean: Their mean.
        second: The sum of squared deviations from it.
        third: The sum of cubed deviations from it.
    """

    many: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0

    @classmethod
    def of(cls, values: Floats) -> Moments:
        """Return the moments of finite values."""
        if not len(values):
            return cls()
        with np.errstate(over="ignore", invalid="ignore"):
            mean, second, third = float(values.mean()), 0.0, 0.0
            for start in range(0, len(values), STRETCH):
                off = values[start : start + STRETCH] - mean
                squares = off * off
                second += float(squares.sum())
                third += float((squares * off).sum())
            return cls(len(values), mean, second, third)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both together.

        Reference: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing
        sample variances, COMPSTAT 1982; the third moment after Pébay, Sandia report 2008-6212.

        Example:
            >>> parts = Moments.of(np.array([1.0, 2.0])) + Moments.of(np.array([6.0]))
            >>> parts == Moments.of(np.array([1.0, 2.0, 6.0]))
            True
        """
        many = self.many + other.many
        if not (self.many and other.many):
            return self if self.many else other
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.float64(other.mean - self.mean)
            product = self.many * other.many / many
            third = (
                self.third
                + other.third
                + gap**3 * product * (self.many - other.many) / many
                + 3 * gap * (self.many * other.second - other.many * self.second) / many
            )
            return Moments(
                many,
                float(self.mean + gap * other.many / many),
                float(self.second + other.second + gap**2 * product),
                float(third),
            )

    @property
    def deviation(self) -> float:
        """The standard deviation of the values themselves (not of a population behind them)."""
        return float(np.sqrt(self.second / self.many)) if self.many else 0.0

    @property
    def skewness(self) -> float:
        """The third moment in standard deviations; 0 where nothing varies."""
        spread = self.deviation
        return self.third / self.many / spread**3 if spread > 0 else 0.0


class Numbers(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A sketch of ordered values.

    Attributes:
        points: Values in ascending order: all finite ones, or some of them.
        weights: How many values each stands for; nothing where each stands for itself.
        missing: How many values are missing.
        below: How many are minus infinity.
        above: How many are infinity.
        least: The smallest finite value.
        most: The largest.
        moments: Of the finite values, exact.
        error: By how much a share that is read from the points can be off.
        form: How a value is shown to people.
    """

    points: Floats
    weights: Floats | None = None
    missing: int = 0
    below: int = 0
    above: int = 0
    least: float = 0.0
    most: float = 0.0
    moments: Moments = Moments()
    error: float = 0.0
    form: Form = "number"

    @classmethod
    def of(cls, values: Floats, *, form: Form = "number", points: int | None = None) -> Numbers:
        """Sketch values; NaN is missing.

        Args:
            values: In any order.
            form: How they are shown.
            points: How many to keep at the most; all where left out.

        Reference: equally spaced order statistics merge with errors that add up, each reduction
        costing half a step; Manku, Rajagopalan and Lindsay, Approximate medians and other quantiles
        in one pass and with limited memory, SIGMOD 1998.

        Example:
            >>> sketch = Numbers.of(np.arange(100_000.0), points=1000)
            >>> sketch.quantiles(np.array([0.5])).round(-2).tolist(), sketch.error
            ([50000.0], 0.0005)
        """
        there = np.isfinite(values)
        finite, others = (values, values[:0]) if there.all() else (values[there], values[~there])
        many = len(finite)
        kept = many if points is None else min(many, points)
        return cls(
            points=_kept(finite, kept),
            weights=None if kept == many else np.full(kept, many / kept),
            missing=int(np.isnan(others).sum()),
            below=int((others == -np.inf).sum()),
            above=int((others == np.inf).sum()),
            least=float(finite.min()) if many else 0.0,
            most=float(finite.max()) if many else 0.0,
            moments=Moments.of(finite),
            error=0.0 if kept == many else 0.5 / kept,
            form=form,
        )

    @property
    def rows(self) -> int:
        """How many values there were, missing ones included."""
        return self.missing + self.present

    @property
    def present(self) -> int:
        """How many values are not missing."""
        return self.below + self.moments.many + self.above

    def reduced(self, points: int) -> Numbers:
        """Return the sketch with no more than so many points."""
        if len(self.points) <= points:
            return self
        step = self.moments.many / points
        if self.weights is None:
            chosen = _ranks(self.moments.many, points)
        else:
            chosen = np.searchsorted(np.cumsum(self.weights), (np.arange(points) + 0.5) * step)
        return msgspec.structs.replace(
            self,
            points=self.points[np.minimum(chosen, len(self.points) - 1)],
            weights=np.full(points, step),
            error=self.error + 0.5 / points,
        )

    def counts_to(self, edges: Floats, side: Literal["left", "right"] = "left") -> Floats:
        """Return how many finite values lie below each edge, or up to it (`right`)."""
        found = np.searchsorted(self.points, edges, side)
        if self.weights is None:
            return found.astype(np.float64)
        return self._heights[found]

    def quantiles(self, probabilities: Floats) -> Floats:
        """Return quantiles of the finite values, between two of them where none is there."""
        many = self.moments.many
        if not many:
            return np.zeros(0)
        if self.weights is None:
            return _between(self.points, probabilities * (many - 1))
        middles = self._heights[1:] - self.weights / 2
        places = np.concatenate([[0.0], middles, [float(many)]])
        values = np.concatenate([[self.least], self.points, [self.most]])
        return np.asarray(np.interp(probabilities * many, places, values))

    @cached_property
    def _heights(self) -> Floats:
        """How many values the points up to each place stand for, from 0 on."""
        assert self.weights is not None
        return np.concatenate([[0.0], np.cumsum(self.weights)])


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """A sketch of categories.

    Attributes:
        names: The categories, the most frequent first.
        counts: How often each came, or less by the error.
        other: How many values are of categories that are not kept.
        missing: How many are missing.
        error: By how much a category's share can be too small.
    """

    names: tuple[str, ...] = ()
    counts: Counts
    other: int = 0
    missing: int = 0
    error: float = 0.0

    @classmethod
    def of(cls, counted: Mapping[str, int], *, missing: int = 0, other: int = 0) -> Names:
        """Sketch categories.

        Args:
            counted: How often each came.
            missing: How many values are missing.
            other: How many values are of categories that are not named.

        Example:
            >>> sketch = Names.of({"a": 1, "b": 5, "c": 4}).reduced(2)
            >>> sketch.names, sketch.counts.tolist(), sketch.other, sketch.error
            (('b', 'c'), [5, 4], 1, 0.1)
        """
        order = sorted(counted, key=lambda name: (-counted[name], name))
        counts = np.array([counted[name] for name in order], dtype=np.int64)
        return cls(names=tuple(order), counts=counts, missing=missing, other=other)

    @property
    def rows(self) -> int:
        """How many values there were, missing ones included."""
        return int(self.counts.sum()) + self.other + self.missing

    def reduced(self, most: int) -> Names:
        """Return the sketch with no more than so many categories.

        Of each category that is left out, at most as many values are lost as the first one has.
        """
        if len(self.names) <= most:
            return self
        lost = self.counts[most:]
        return Names(
            names=self.names[:most],
            counts=self.counts[:most],
            other=self.other + int(lost.sum()),
            missing=self.missing,
            error=self.error + int(lost[0]) / (self.rows - self.missing),
        )

    def counts_of(self, marks: Sequence[str]) -> Floats:
        """Return how often each mark came, then all others, then what is missing."""
        position = {name: i for i, name in enumerate(self.names)}
        found = [int(self.counts[position[m]]) if m in position else 0 for m in marks]
        present = self.rows - self.missing
        return np.array([*found, present - sum(found), self.missing], dtype=np.float64)


Sketch = Numbers | Names


def count_names(values: pl.Series, most: int) -> Names:
    """Count a column's values by name, and keep the most frequent.

    Example:
        >>> count_names(pl.Series(["b", "a", "b", None]), most=10).names
        ('b', 'a')
    """
    named = values if isinstance(values.dtype, pl.String) else values.cast(pl.String)
    counted = named.rename("name").drop_nulls().value_counts(name="count")
    missing = values.null_count()
    lost, first = 0, 0
    if counted.height > most:
        ranked = counted.sort(["count", "name"], descending=[True, False])
        first = int(ranked["count"][most])
        lost = len(values) - missing - int(ranked["count"].head(most).sum())
        counted = ranked.head(most)
    kept = dict(zip(counted["name"].to_list(), counted["count"].to_list(), strict=True))
    whole = Names.of(kept, missing=missing, other=lost)
    if not lost:
        return whole
    error = first / max(len(values) - missing, 1)
    return Names(names=whole.names, counts=whole.counts, other=lost, missing=missing, error=error)


def merge_numbers(parts: Sequence[Numbers], points: int | None = None) -> Numbers:
    """Return the sketch of all parts together.

    Example:
        >>> halves = [Numbers.of(np.arange(0.0, 50.0)), Numbers.of(np.arange(50.0, 101.0))]
        >>> merge_numbers(halves).quantiles(np.array([0.5])).tolist()
        [50.0]
    """
    if len(parts) == 1:
        return parts[0] if points is None else parts[0].reduced(points)
    values = np.concatenate([p.points for p in parts])
    filled = [p for p in parts if p.moments.many]
    moments = reduce(Moments.__add__, (p.moments for p in parts), Moments())
    weights: Floats | None = None
    if any(p.weights is not None for p in parts):
        each = [np.ones(len(p.points)) if p.weights is None else p.weights for p in parts]
        order = np.argsort(values, kind="stable")
        values, weights = values[order], np.concatenate(each)[order]
    else:
        values = np.sort(values, kind="stable")
    whole = Numbers(
        points=values,
        weights=weights,
        missing=sum(p.missing for p in parts),
        below=sum(p.below for p in parts),
        above=sum(p.above for p in parts),
        least=min((p.least for p in filled), default=0.0),
        most=max((p.most for p in filled), default=0.0),
        moments=moments,
        error=sum(p.error * p.moments.many for p in parts) / max(moments.many, 1),
        form=parts[0].form,
    )
    return whole if points is None else whole.reduced(points)


def merge_names(parts: Sequence[Names], most: int | None = None) -> Names:
    """Return the sketch of all parts together.

    Example:
        >>> day = Names.of({"a": 3, "b": 1}, missing=1)
        >>> both = merge_names([day, day])
        >>> both.names, both.counts.tolist(), both.missing
        (('a', 'b'), [6, 2], 2)
    """
    total: dict[str, int] = {}
    for part in parts:
        for name, many in zip(part.names, part.counts.tolist(), strict=True):
            total[name] = total.get(name, 0) + many
    missing = sum(p.missing for p in parts)
    present = sum(p.rows - p.missing for p in parts)
    whole = Names.of(total, missing=missing, other=sum(p.other for p in parts))
    error = sum(p.error * (p.rows - p.missing) for p in parts) / max(present, 1)
    whole = msgspec.structs.replace(whole, error=error)
    return whole if most is None else whole.reduced(most)


class Gathering:
    """Merges sketches of numbers as they come, in constant memory.

    Sketches of one level are merged when there are enough of them, and the result belongs to the
    level above: the error grows with the number of levels, which is a logarithm of the rows.

    Args:
        points: How many points a merged sketch keeps.
        together: How many sketches make one of the next level.
    """

    def __init__(self, points: int = POINTS, together: int = 16) -> None:
        self._points = points
        self._together = together
        self._levels: list[list[Numbers]] = [[]]

    def add(self, part: Numbers) -> None:
        """Take in one more."""
        self._levels[0].append(part)
        for level, waiting in enumerate(self._levels):
            if len(waiting) < self._together:
                return
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(merge_numbers(waiting, self._points))
            waiting.clear()

    def result(self) -> Numbers:
        """Return the sketch of everything so far."""
        parts = [p for level in self._levels for p in level]
        if not parts:
            return Numbers(points=np.zeros(0))
        return merge_numbers(parts, self._points)


class NamesGathering:
    """Merges sketches of categories as they come, in constant memory.

    Args:
        most: How many categories a merged sketch keeps.
        together: How many sketches are merged at once.
    """

    def __init__(self, most: int = MOST_NAMES, together: int = 16) -> None:
        self._most = most
        self._together = together
        self._waiting: list[Names] = []

    def add(self, part: Names) -> None:
        """Take in one more."""
        self._waiting.append(part)
        if len(self._waiting) == self._together:
            self._waiting = [merge_names(self._waiting, self._most)]

    def result(self) -> Names:
        """Return the sketch of everything so far."""
        return merge_names(self._waiting, self._most) if self._waiting else Names.of({})


def _kept(finite: Floats, kept: int) -> Floats:
    many = len(finite)
    return ascending(finite) if kept == many else values_at(finite, _ranks(many, kept))


def _ranks(many: int, kept: int) -> Counts:
    """Return the places in the middle of equal steps of rank."""
    ranks = np.ceil((np.arange(kept) + 0.5) * (many / kept)).astype(np.int64) - 1
    return np.asarray(np.minimum(ranks, many - 1))


def _between(ordered: Floats, places: Floats) -> Floats:
    """Return the values at places between two ranks, to the last bit as NumPy's quantiles are."""
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    part = places - low
    with np.errstate(over="ignore", invalid="ignore"):
        gap = ordered[high] - ordered[low]
        found = ordered[low] + gap * part
        found = np.where(part >= 0.5, ordered[high] - gap * (1 - part), found)
    return np.asarray(found)
