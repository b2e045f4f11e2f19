"""Measures how far two sketches of a column lie apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.datasets.sketches import Floats, Names, Numbers, Sketch
from tidemill.monitoring import distances
from tidemill.monitoring.blocks import MOST_CATEGORIES
from tidemill.monitoring.compared import ColumnComparison
from tidemill.monitoring.steps import Steps, distance_moved, widest_gap

MOST_BARS = 12
CURVE = tuple(np.linspace(0, 1, 51).tolist())
_EXACT_ROWS = 1000
_LEAST_EXPECTED = 5.0
_RANKED = 1000
_TENTHS = np.linspace(0, 1, 11)


def measure(name: str, usual: Sketch, now: Sketch) -> ColumnComparison:
    """Measure how far one column of two tables differs.

    Args:
        name: The column.
        usual: The reference's sketch, of at least one row.
        now: The current one's, of the same kind and of at least one row.

    Example:
        >>> found = measure("temp", Numbers.of(np.arange(100.0)), Numbers.of(np.arange(50.0, 150)))
        >>> found.effect, found.distances["wasserstein"]
        (0.5, 50.0)
    """
    if isinstance(usual, Numbers) and isinstance(now, Numbers):
        return _numbers(name, usual, now)
    assert isinstance(usual, Names)
    assert isinstance(now, Names)
    return _names(name, usual, now)


def gaps(usual: Numbers, now: Numbers) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov and the Wasserstein distance of two sketches.

    The first is over all values, infinite ones too; the second over the finite ones.

    Example:
        >>> gaps(Numbers.of(np.array([0.0, 1.0])), Numbers.of(np.array([2.0, 3.0])))
        (1.0, 2.0)
    """
    if not (len(usual.points) and len(now.points)):
        return _gap_of_ends(usual, now), float("nan")
    if usual.weights is None and now.weights is None:
        statistic = widest_gap(
            Steps(usual.points, usual.below, usual.present),
            Steps(now.points, now.below, now.present),
        )
        return max(statistic, _gap_of_ends(usual, now)), distance_moved(usual.points, now.points)
    return _gaps_of_weighted(usual, now)


def _gaps_of_weighted(usual: Numbers, now: Numbers) -> tuple[float, float]:
    values = np.concatenate([usual.points, now.points])
    # Two ascending runs: the stable sort merges them in one pass.
    order = np.argsort(values, kind="stable")
    values = values[order]
    mine = order < len(usual.points)
    heights = _heights(usual, order, mine), _heights(now, order - len(usual.points), ~mine)
    last = np.append(values[1:] > values[:-1], True)
    shares = [(h[last] + s.below) / s.present for h, s in zip(heights, (usual, now), strict=True)]
    statistic = float(np.abs(shares[0] - shares[1]).max())
    finite = heights[0] / usual.moments.many, heights[1] / now.moments.many
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.abs(finite[0][:-1] - finite[1][:-1]) @ np.diff(values)
    return max(statistic, _gap_of_ends(usual, now)), float(moved)


def _heights(sketch: Numbers, places: NDArray[Any], mine: NDArray[np.bool_]) -> Floats:
    """Return how many values of a sketch lie up to each place of the merged order."""
    weights = np.ones(len(sketch.points)) if sketch.weights is None else sketch.weights
    each = np.zeros(len(places))
    each[mine] = weights[places[mine]]
    return np.asarray(np.cumsum(each))


def _gap_of_ends(usual: Numbers, now: Numbers) -> float:
    both = usual.present, now.present
    if not (both[0] and both[1]):
        return 0.0
    low = abs(usual.below / both[0] - now.below / both[1])
    return max(low, abs(usual.above / both[0] - now.above / both[1]))


def shares_in_bins(usual: Numbers, now: Numbers) -> tuple[Floats, Floats] | None:
    """Return the shares of both in bins of equal width over the reference, or nothing.

    Reference: the number of bins is Doane's; Aesthetic frequency classifications, The American
    Statistician 30, 1976. What lies outside of the reference has a last bin of its own.
    """
    edges = _doane(usual)
    if edges is None:
        return None
    found = []
    for sketch in (usual, now):
        below = np.append(sketch.counts_to(edges[:-1]), sketch.counts_to(edges[-1:], "right"))
        inside = np.diff(below)
        many = sketch.moments.many
        found.append(np.append(inside, max(many - inside.sum(), 0.0)) / many)
    return found[0], found[1]


def shares_by_tenths(usual: Numbers, now: Numbers) -> tuple[Floats, Floats]:
    """Return the shares of both between the deciles of the reference."""
    inner = np.unique(usual.quantiles(_TENTHS))[1:-1]
    found = [
        np.diff(np.concatenate([[0.0], s.counts_to(inner), [float(s.moments.many)]]))
        / s.moments.many
        for s in (usual, now)
    ]
    return found[0], found[1]


def _doane(sketch: Numbers) -> Floats | None:
    """Return the edges of Doane's bins, as NumPy makes them."""
    many, least, most = sketch.moments.many, sketch.least, sketch.most
    width = most - least
    if not np.isfinite(width) or not np.isfinite(sketch.moments.skewness):
        return None
    if width == 0:
        return np.array([least - 0.5, least + 0.5])
    bins = 1
    if many > 2 and sketch.moments.deviation > 0:
        skew = np.sqrt(6.0 * (many - 2) / ((many + 1.0) * (many + 3)))
        bins = 1.0 + np.log2(many) + np.log2(1.0 + abs(sketch.moments.skewness) / skew)
        bins = int(np.ceil(width / (width / bins)))
    return np.linspace(least, most, bins + 1)


def _numbers(name: str, usual: Numbers, now: Numbers) -> ColumnComparison:
    missing = usual.missing / usual.rows, now.missing / now.rows
    _, p_value = distances.chi_square(
        np.array([usual.present, usual.missing]), np.array([now.present, now.missing])
    )
    effect, found = abs(missing[0] - missing[1]), {}
    if usual.present and now.present:
        statistic, moved = gaps(usual, now)
        # Two questions were asked of the column: of its values, and of what is missing.
        p_value = min(1.0, 2 * min(p_value, _chance(statistic, usual, now)))
        effect = max(effect, statistic)
        found = {"kolmogorov_smirnov": statistic}
        if usual.moments.many and now.moments.many:
            found |= _distances_of_numbers(usual, now, moved)
    return ColumnComparison(
        column=name,
        kind="numeric",
        moved=False,
        p_value=p_value,
        effect=effect,
        distances=found,
        reference=typical(usual),
        current=typical(now),
        missing_reference=missing[0],
        missing=missing[1],
        marks=CURVE,
        curve_reference=tuple(usual.quantiles(np.array(CURVE)).tolist()),
        curve=tuple(now.quantiles(np.array(CURVE)).tolist()),
        moments=usual.form == "moment" == now.form,
        error=usual.error + now.error,
    )


def _chance(statistic: float, usual: Numbers, now: Numbers) -> float:
    """Return the p-value of a distance; where it may be off, of the least that it can be."""
    least = max(statistic - usual.error - now.error, 0.0)
    both = usual.present, now.present
    if max(both) > _EXACT_ROWS or usual.error or now.error:
        return distances.chance_of_gap(least, *both)
    return distances.kolmogorov_smirnov(_all(usual), _all(now))[1]


def _all(sketch: Numbers) -> Floats:
    ends = np.full(sketch.below, -np.inf), np.full(sketch.above, np.inf)
    return np.concatenate([ends[0], sketch.points, ends[1]])


def _distances_of_numbers(usual: Numbers, now: Numbers, moved: float) -> dict[str, float]:
    deviation = usual.moments.deviation
    if usual.weights is None:
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = float(usual.points.std())
    found = {"wasserstein": moved, "normalised_wasserstein": moved / max(deviation, 1e-3)}
    bins = shares_in_bins(usual, now)
    if bins is not None:
        found["jensen_shannon"] = distances.jensen_shannon(*bins)
        found["hellinger"] = distances.hellinger(*bins)
    tenths = shares_by_tenths(usual, now)
    found["population_stability"] = distances.population_stability(*tenths)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _names(name: str, usual: Names, now: Names) -> ColumnComparison:
    marks = sorted(usual.names[:MOST_CATEGORIES])
    counts = usual.counts_of(marks), now.counts_of(marks)
    shares = counts[0] / usual.rows, counts[1] / now.rows
    both = _frequent(usual, now)
    _, p_value = distances.chi_square(usual.counts_of(both), now.counts_of(both))
    shown = [*marks, "other", "missing"]
    order = np.argsort(-(shares[0] + shares[1]), kind="stable")[:MOST_BARS]
    known = set(usual.names)
    seen = sum(
        int(many) for n, many in zip(now.names, now.counts.tolist(), strict=True) if n in known
    )
    # Where categories of either were left out, those of the other cannot be told from new ones.
    unseen = 0.0 if usual.other or now.other else 1 - (seen + now.missing) / now.rows
    return ColumnComparison(
        column=name,
        kind="categorical",
        moved=False,
        p_value=p_value,
        effect=float(np.abs(shares[0] - shares[1]).sum() / 2),
        distances={
            "jensen_shannon": distances.jensen_shannon(*shares),
            "hellinger": distances.hellinger(*shares),
            "l_infinity": distances.l_infinity(*shares),
            "population_stability": distances.population_stability(*shares),
        },
        reference=typical(usual),
        current=typical(now),
        missing_reference=float(shares[0][-1]),
        missing=float(shares[1][-1]),
        marks=tuple(str(shown[i]) for i in order),
        curve_reference=tuple(shares[0][order].tolist()),
        curve=tuple(shares[1][order].tolist()),
        unseen=max(unseen, 0.0),
        error=usual.error + now.error,
    )


def _frequent(usual: Names, now: Names) -> list[str]:
    """Return the categories that are tested one by one.

    They are the most frequent of both tables together: those of one were so by chance to a part,
    and are rarer in whatever it is compared with. Of each, so many are to be expected in both that
    the test holds what it promises (Cochran, Some methods for strengthening the common chi-square
    tests, Biometrics 10, 1954).
    """
    smaller = min(usual.rows, now.rows) / (usual.rows + now.rows)
    # Whatever is frequent in both together is not far down in either.
    names = sorted({*usual.names[:_RANKED], *now.names[:_RANKED]})
    totals = (usual.counts_of(names) + now.counts_of(names))[: len(names)]
    ranked = np.argsort(-totals, kind="stable")[:MOST_CATEGORIES]
    return sorted(names[i] for i in ranked if totals[i] * smaller >= _LEAST_EXPECTED)


def typical(sketch: Sketch) -> str:
    """Say what is usual in a column: the median of what is ordered, else the most frequent.

    Example:
        >>> typical(Numbers.of(np.array([1.0, 2.0, 4.0]))), typical(Names.of({"a": 1, "b": 3}))
        ('2', 'b (75%)')
        >>> typical(Names.of({}))
        'nothing'
    """
    if isinstance(sketch, Names):
        if not sketch.names:
            return "nothing"
        return f"{sketch.names[0]} ({int(sketch.counts[0]) / sketch.rows:.0%})"
    if not sketch.moments.many:
        return "infinity" if sketch.above else "-infinity" if sketch.below else "nothing"
    if sketch.form == "truth":
        share = sketch.moments.mean
        often = max(share, 1 - share) * sketch.moments.many / sketch.rows
        return f"{'true' if share > 0.5 else 'false'} ({often:.0%})"
    middle = float(sketch.quantiles(np.array([0.5]))[0])
    return _moment(middle) if sketch.form == "moment" else f"{middle:.4g}"


def _moment(micros: float) -> str:
    try:
        found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros:.4g}"
    return f"{found:%Y-%m-%d %H:%M}"
