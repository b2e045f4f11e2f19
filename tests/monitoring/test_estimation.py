"""Quality without labels: the peers' values, and the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.monitoring.estimation import (
    Calibrator,
    ClassCalibrator,
    estimate_binary,
    estimate_multiclass,
)
from tidemill.monitoring.loss_estimation import LossEstimator

GOLDEN = Path(__file__).parent / "golden"
PEERS: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "peers.json").read_text())
CHUNK = 1000


def _parts(name: str) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Return the reference, and every chunk in the order of the golden rows."""
    reference = pl.read_parquet(GOLDEN / f"{name}_ref.parquet")
    current = pl.read_parquet(GOLDEN / f"{name}_cur.parquet")
    whole = [f[i : i + CHUNK] for f in (reference, current) for i in range(0, f.height, CHUNK)]
    return reference, whole


def test_binary_estimates_equal_the_peers() -> None:
    reference, chunks = _parts("pe")
    learned = Calibrator(
        reference["y_pred_proba"].to_numpy(), (reference["target"] == 1).to_numpy()
    )
    for golden, chunk in zip(PEERS["cbpe_binary"], chunks, strict=True):
        scores = chunk["y_pred_proba"].to_numpy()
        ours = estimate_binary(learned(scores), scores, (chunk["y_pred"] == 1).to_numpy())
        for name in ("accuracy", "precision", "recall", "f1"):
            assert ours[name] == pytest.approx(golden[f"{name}|value"], abs=1e-9), name
        # The peer rounds its cumulative sums to five decimals.
        assert ours["roc_auc"] == pytest.approx(golden["roc_auc|value"], abs=2e-5)
        assert ours["average_precision"] == pytest.approx(
            golden["average_precision|value"], abs=2e-3
        )


def test_multiclass_estimates_equal_the_peers() -> None:
    reference, chunks = _parts("mc")
    columns = ["p0", "p1", "p2"]
    learned = ClassCalibrator(
        reference.select(columns).to_numpy(), reference["target"].to_numpy().astype(np.int64)
    )
    for golden, chunk in zip(PEERS["cbpe_multiclass"], chunks, strict=True):
        scores = chunk.select(columns).to_numpy()
        said = chunk["y_pred"].to_numpy().astype(np.int64)
        ours = estimate_multiclass(learned(scores), scores, said)
        for name in ("accuracy", "precision", "recall", "f1"):
            assert ours[name] == pytest.approx(golden[f"{name}|value"], abs=1e-9), name
        assert ours["roc_auc"] == pytest.approx(golden["roc_auc|value"], abs=2e-5)


def test_direct_loss_estimates_are_as_near_the_truth_as_the_peers() -> None:
    reference, chunks = _parts("rg")
    features = ["age", "bmi", "bp", "s5"]
    learned = LossEstimator(
        reference.select(features),
        reference["y_pred"].to_numpy(),
        reference["target"].to_numpy().astype(np.float64),
    )
    ours, theirs = [], []
    for golden, chunk in zip(PEERS["dle"], chunks, strict=True):
        if golden["chunk|period"] == "reference":
            continue
        found = learned.estimate(chunk.select(features), chunk["y_pred"].to_numpy())
        for name in ("mae", "rmse"):
            ours.append(abs(found[name] / golden[f"{name}|realized"] - 1))
            theirs.append(abs(golden[f"{name}|value"] / golden[f"{name}|realized"] - 1))
    assert np.mean(ours) <= np.mean(theirs) * 1.1


def test_estimates_follow_a_shift_of_the_inputs() -> None:
    rng = np.random.default_rng(0)

    def world(shift: float) -> tuple[Any, Any]:
        x = rng.normal(loc=shift, size=20_000)
        chance = 1 / (1 + np.exp(-2 * x))
        return chance, rng.random(20_000) < chance

    scores, truth = world(0.0)
    learned = Calibrator(scores**2, truth)  # a model whose probabilities are wrong
    for shift in (-1.0, 0.5, 2.0):
        scores, truth = world(shift)
        said = scores >= 0.5
        expected = estimate_binary(learned(scores**2), scores**2, said)["accuracy"]
        assert expected == pytest.approx((said == truth).mean(), abs=0.012)


def test_one_class_and_empty_answers_are_nan_and_never_zero() -> None:
    nothing = estimate_binary(np.zeros(5), np.linspace(0, 1, 5), np.zeros(5, dtype=bool))
    assert np.isnan(nothing["precision"])
    assert np.isnan(nothing["roc_auc"])
    assert nothing["accuracy"] == 1.0
    everything = estimate_binary(np.ones(5), np.linspace(0, 1, 5), np.ones(5, dtype=bool))
    assert np.isnan(everything["roc_auc"])


def test_a_column_that_is_missing_or_new_does_not_stop_the_estimate() -> None:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"x": rng.normal(size=500), "place": rng.choice(["a", "b"], 500)})
    learned = LossEstimator(rows, np.zeros(500), rng.normal(size=500))
    later = pl.DataFrame({"place": ["c", None, "a"], "new": [1, 2, 3]})
    assert 0 < learned.estimate(later, np.zeros(3))["mae"] < 3
