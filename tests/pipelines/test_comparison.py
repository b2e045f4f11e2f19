"""Paired comparisons: right on average, and honest where little is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tidemill.models.metrics import evaluate
from tidemill.pipelines.comparison import Answers, bootstrap, delong


def scores(rows: int, noise: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    yes = rng.random(rows) < 0.3
    return yes, yes + rng.normal(0, noise, rows)


def test_delong_finds_the_areas_difference_by_definition() -> None:
    yes, first = scores(200, 1.0, 1)
    second = scores(200, 1.5, 2)[1]

    def area(said: NDArray[np.float64]) -> float:
        pairs = said[yes][:, None] - said[~yes][None, :]
        return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())

    found = delong(yes, first, second, 0.95)
    assert found.value == pytest.approx(area(first) - area(second), abs=1e-12)


def test_delong_and_the_bootstrap_agree() -> None:
    yes, first = scores(3000, 1.0, 3)
    second = first + np.random.default_rng(4).normal(0, 0.5, 3000)
    exact = delong(yes, first, second, 0.95)
    drawn = bootstrap(
        "roc_auc",
        "binary",
        yes,
        Answers(first > 0.5, first),
        Answers(second > 0.5, second),
        classes=(False, True),
        positive=True,
        confidence=0.95,
        seed=0,
    )
    assert drawn.value == pytest.approx(exact.value, abs=1e-12)
    assert drawn.low == pytest.approx(exact.low, abs=0.2 * (exact.high - exact.low))
    assert drawn.high == pytest.approx(exact.high, abs=0.2 * (exact.high - exact.low))


def test_delong_s_lower_bound_holds_as_often_as_it_says() -> None:
    """Two equally good models: the bound lies above 0 in 5 of 100 trials."""
    above = 0
    trials = 600
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        yes = rng.random(300) < 0.4
        first, second = (yes + rng.normal(0, 1.2, 300) for _ in range(2))
        above += delong(yes, first, second, 0.95).low > 0
    # Within four standard errors of 5%.
    assert abs(above / trials - 0.05) < 4 * math.sqrt(0.05 * 0.95 / trials)


def test_a_single_positive_decides_nothing() -> None:
    yes = np.zeros(50, dtype=bool)
    yes[7] = True
    found = delong(yes, np.linspace(0, 1, 50), np.linspace(1, 0, 50), 0.95)
    assert math.isnan(found.low)


def test_the_bootstrap_is_the_same_for_the_same_seed() -> None:
    truth = np.arange(50.0)
    rng = np.random.default_rng(5)
    near, far = (Answers(truth + rng.normal(0, s, 50), None) for s in (1.0, 3.0))

    def compared(seed: int):
        return bootstrap(
            "mae",
            "regression",
            truth,
            near,
            far,
            classes=(),
            positive=None,
            confidence=0.9,
            seed=seed,
        )

    assert compared(1) == compared(1) != compared(2)
    assert compared(1).low > 0
    ours = evaluate("regression", truth, near.values, None)["mae"]
    theirs = evaluate("regression", truth, far.values, None)["mae"]
    assert compared(1).value == pytest.approx(theirs - ours)
