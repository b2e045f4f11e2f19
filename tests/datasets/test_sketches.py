"""Sketches: exact where they hold everything, within their stated error where they do not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from tidemill.datasets.sketches import (
    Gathering,
    Moments,
    Names,
    Numbers,
    merge_names,
    merge_numbers,
)
from tidemill.monitoring.columns import names_of
from tidemill.monitoring.distances import kolmogorov_smirnov
from tidemill.monitoring.measures import gaps, shares_by_tenths, shares_in_bins

_VALUES = st.lists(
    st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6, width=32)),
    min_size=1,
    max_size=80,
)
_WILD = st.lists(st.floats(), max_size=40)
_PARTS = st.lists(_VALUES, min_size=1, max_size=12)
_NAMES = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=30), min_size=1, max_size=6)


@given(_VALUES, _VALUES)
def test_distances_of_whole_sketches_are_the_known_ones(
    usual: list[float], now: list[float]
) -> None:
    statistic, moved = gaps(Numbers.of(np.array(usual)), Numbers.of(np.array(now)))
    known = kolmogorov_smirnov(np.array(usual), np.array(now))[0]
    assert statistic == pytest.approx(known, abs=1e-12)
    assert moved == pytest.approx(wasserstein_distance(usual, now), rel=1e-9, abs=1e-9)


@given(_VALUES)
def test_quantiles_and_bins_of_whole_sketches_are_those_of_numpy(values: list[float]) -> None:
    array = np.array(values)
    sketch = Numbers.of(array)
    wanted = np.linspace(0, 1, 51)
    assert sketch.quantiles(wanted).tolist() == np.quantile(array, wanted).tolist()
    bins = shares_in_bins(sketch, sketch)
    assert bins is not None
    expected = np.histogram(array, np.histogram_bin_edges(array, "doane"))[0] / len(array)
    if len(bins[0]) == len(expected) + 1:  # a rounding can cost or bring a bin
        assert bins[0][:-1].tolist() == pytest.approx(expected.tolist())
    assert bins[0].sum() == pytest.approx(1.0)
    assert shares_by_tenths(sketch, sketch)[0].sum() == pytest.approx(1.0)


@given(_WILD)
def test_every_value_is_counted_once(values: list[float]) -> None:
    sketch = Numbers.of(np.array(values), points=5)
    array = np.array(values)
    assert sketch.rows == len(values)
    assert sketch.missing == int(np.isnan(array).sum())
    assert (sketch.below, sketch.above) == (
        int((array == -np.inf).sum()),
        int((array == np.inf).sum()),
    )


@given(_PARTS, st.integers(3, 20), st.integers(2, 4))
def test_a_merged_sketch_is_within_its_stated_error(
    parts: list[list[float]], points: int, together: int
) -> None:
    gathering = Gathering(points, together)
    for part in parts:
        gathering.add(Numbers.of(np.array(part), points=points))
    found, everything = gathering.result(), np.array([v for part in parts for v in part])
    exact = Numbers.of(everything)
    edges = np.unique(everything)
    for side in ("left", "right"):
        off = np.abs(found.counts_to(edges, side) - exact.counts_to(edges, side))
        assert off.max() <= found.error * len(everything) + 1e-6
    assert len(found.points) <= points
    assert (found.least, found.most) == (exact.least, exact.most)
    assert gaps(found, exact)[0] <= found.error + 1e-9


@given(_PARTS)
def test_whole_sketches_merge_without_loss_in_any_order(parts: list[list[float]]) -> None:
    each = [Numbers.of(np.array(p)) for p in parts]
    everything = Numbers.of(np.array([v for p in parts for v in p]))
    for order in (each, each[::-1]):
        merged = merge_numbers(order)
        assert merged.points.tolist() == everything.points.tolist()
        assert merged.moments.many == everything.moments.many
        assert merged.moments.mean == pytest.approx(everything.moments.mean, rel=1e-9, abs=1e-6)
        assert merged.moments.second == pytest.approx(everything.moments.second, rel=1e-9, abs=1e-3)


@given(_PARTS)
def test_moments_of_parts_add_up(parts: list[list[float]]) -> None:
    total = sum((Moments.of(np.array(p)) for p in parts), Moments())
    whole = Moments.of(np.array([v for p in parts for v in p]))
    scale = max(abs(v) for p in parts for v in p) + 1.0
    assert total.third / scale**3 == pytest.approx(whole.third / scale**3, abs=1e-6)


@given(_NAMES, st.integers(1, 5))
def test_merged_names_are_within_their_stated_error(parts: list[list[str]], most: int) -> None:
    merged = merge_names([names_of(pl.Series(p, dtype=pl.String), most) for p in parts], most)
    counted = Counter(name for part in parts for name in part)
    many = sum(counted.values())
    assert merged.rows == many
    assert len(merged.names) <= most
    for name, true in counted.items():
        found = merged.counts_of([name])[0]
        assert true - merged.error * many - 1e-9 <= found <= true


def test_infinite_values_count_for_the_statistic_and_not_for_the_way() -> None:
    usual = Numbers.of(np.array([-np.inf, 0.0, 1.0, np.inf]))
    now = Numbers.of(np.array([0.0, 1.0, np.inf, np.inf]))
    assert gaps(usual, now) == (0.25, 0.0)
    assert gaps(Numbers.of(np.array([np.inf])), Numbers.of(np.array([1.0])))[0] == 1.0


def test_huge_values_give_no_figure_rather_than_a_wrong_one() -> None:
    huge = Numbers.of(np.array([-1.7e308, 1.7e308, 0.0]))
    assert shares_in_bins(huge, huge) is None
    assert Names.of({}).rows == 0
