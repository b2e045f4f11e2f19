"""Sums that are taken apart and put together again: the same to the last bit, whatever the way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.moments import FINE, Moments, grains
from tidemill.serving.evidence import Units
from tidemill.serving.sequential import difference

units = st.lists(
    st.tuples(st.floats(-1e6, 1e6, allow_subnormal=False), st.integers(1, 1000)), max_size=80
)


def sums(values: list[tuple[float, int]]) -> Moments:
    totals = [grains(total) for total, _ in values]
    return Moments.of([t for t in totals if t is not None], [s for _, s in values], bits=FINE)


@given(units, units, st.randoms())
def test_what_is_taken_out_again_leaves_nothing(
    kept: list[tuple[float, int]], other: list[tuple[float, int]], rng: object
) -> None:
    both = kept + other
    rng.shuffle(both)  # type: ignore[attr-defined]
    assert sums(both) - sums(other) == sums(kept)


@given(units, units)
def test_intervals_are_those_of_the_units_themselves(
    first: list[tuple[float, int]], second: list[tuple[float, int]]
) -> None:
    arrays = [
        Units(np.array([t for t, _ in side]), np.array([float(s) for _, s in side]))
        for side in (first, second)
    ]
    mine, theirs = difference(sums(first), sums(second)), difference(*arrays)
    assert mine.unbounded == theirs.unbounded
    if not mine.unbounded:
        width = theirs.high - theirs.low
        near = pytest.approx(theirs.estimate, rel=1e-6, abs=1e-6 * width + 1e-9)
        assert mine.estimate == near
        assert mine.high - mine.low == pytest.approx(width, rel=1e-6, abs=1e-6)


def test_a_small_spread_around_a_large_mean_is_not_lost() -> None:
    spread = sums([(1e9 + n % 2, 1) for n in range(1000)])
    assert spread.variance == pytest.approx(0.25 / 999, rel=1e-12)


def test_with_one_row_beyond_all_measure_nothing_is_told() -> None:
    known = Moments.of([1], [2], boundless=1)
    assert math.isnan(known.mean)
    assert math.isnan(known.variance)
    assert (grains(math.nan), grains(-math.inf), grains(1e200)) == (None, None, None)
