"""Distances of two samples, found in part or without merging, are those of every value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import smirnov
from scipy.stats import ks_2samp, wasserstein_distance

from tidemill.monitoring.distances import chance_of_gap
from tidemill.monitoring.steps import Steps, distance_moved, widest_gap

_SEEDS = st.integers(0, 2**32 - 1)
_SIZES = st.integers(1, 700)
_DIGITS = st.integers(-1, 3)


def _sample(seed: int, many: int, digits: int, centre: float = 0.0) -> NDArray[np.float64]:
    """Return values of which the fewer differ, the fewer digits they have."""
    return np.sort(np.random.default_rng(seed).normal(centre, 1.0, many).round(digits))


def _steps(points: NDArray[np.float64]) -> Steps:
    return Steps(points, 0, len(points))


@given(_SEEDS, _SIZES, _SIZES, _DIGITS, st.sampled_from([0.0, 0.2, 5.0]))
def test_the_widest_gap_is_that_over_every_value(
    seed: int, many: int, others: int, digits: int, centre: float
) -> None:
    one, other = _sample(seed, many, digits), _sample(seed + 1, others, digits, centre)
    at = np.concatenate([one, other])
    known = np.abs(_steps(one).up_to(at) - _steps(other).up_to(at)).max()
    assert widest_gap(_steps(one), _steps(other)) == pytest.approx(known, abs=1e-12)
    assert widest_gap(_steps(other), _steps(one)) == pytest.approx(known, abs=1e-12)


@given(_SEEDS, _SIZES, _SIZES, _DIGITS, st.integers(0, 9), st.integers(0, 9))
def test_values_beyond_the_points_count_for_the_gap(
    seed: int, many: int, others: int, digits: int, low: int, high: int
) -> None:
    one, other = _sample(seed, many, digits), _sample(seed + 1, others, digits)
    whole = np.concatenate([np.full(low, -1e9), one, np.full(high, 1e9)])
    at = np.concatenate([one, other])
    known = np.abs(_steps(whole).up_to(at) - _steps(other).up_to(at)).max()
    found = widest_gap(Steps(one, low, len(whole)), _steps(other))
    assert found == pytest.approx(known, abs=1e-12)


@given(_SEEDS, _SIZES, _SIZES, _DIGITS)
def test_the_distance_moved_is_that_between_the_distribution_functions(
    seed: int, many: int, others: int, digits: int
) -> None:
    one, other = _sample(seed, many, digits), _sample(seed + 1, others, digits, 0.3)
    known = wasserstein_distance(one, other)
    assert distance_moved(one, other) == pytest.approx(known, rel=1e-9, abs=1e-12)
    assert distance_moved(other, one) == pytest.approx(known, rel=1e-9, abs=1e-12)


def test_large_samples_differ_as_scipy_says() -> None:
    one, other = _sample(1, 100_000, 12), _sample(2, 70_000, 12, 0.01)
    known = ks_2samp(one, other, method="asymp")
    gap = widest_gap(_steps(one), _steps(other))
    assert gap == pytest.approx(known.statistic, abs=1e-12)
    assert chance_of_gap(gap, len(one), len(other)) == pytest.approx(known.pvalue, abs=1e-10)
    assert distance_moved(one, other) == pytest.approx(wasserstein_distance(one, other), rel=1e-9)


@pytest.mark.parametrize("rows", [10_000, 50_000, 500_000])
@pytest.mark.parametrize("square", [2.2001, 3.0, 5.0, 9.0, 17.9])
def test_the_chance_in_the_tail_is_the_sum_of_all_terms(rows: int, square: float) -> None:
    gap = float(np.sqrt(square / rows))
    known = 2 * float(smirnov(rows, gap))
    assert chance_of_gap(gap, 2 * rows, 2 * rows) == pytest.approx(known, rel=1e-4, abs=1e-10)
    assert chance_of_gap(gap, 2 * rows, 2 * rows) == pytest.approx(known, abs=2e-10)
