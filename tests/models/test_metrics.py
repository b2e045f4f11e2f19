"""The metrics against scikit-learn's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from tidemill.models.metrics import UnknownMetric, evaluate


@given(st.integers(0, 10_000), st.integers(10, 300), st.booleans())
def test_binary_metrics_equal_the_reference(seed: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    yes = rng.random(rows) < 0.4
    yes[:2] = True, False
    scores = rng.random(rows).round(1 if ties else 12)
    said = scores >= 0.5
    ours = evaluate("binary", yes, said, scores, classes=(False, True), positive=True)
    theirs = {
        "accuracy": reference.accuracy_score(yes, said),
        "precision": reference.precision_score(yes, said, zero_division=np.nan),
        "recall": reference.recall_score(yes, said),
        "f1": reference.f1_score(yes, said),
        "roc_auc": reference.roc_auc_score(yes, scores),
        "average_precision": reference.average_precision_score(yes, scores),
        "log_loss": reference.log_loss(yes, np.clip(scores, 1e-15, 1 - 1e-15)),
        "brier": reference.brier_score_loss(yes, scores),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_multiclass_metrics_equal_the_reference() -> None:
    rng = np.random.default_rng(0)
    classes = ["cat", "dog", "owl"]
    truth = rng.choice(classes, 400)
    scores = rng.dirichlet([1, 1, 1], 400)
    said = np.array(classes)[scores.argmax(axis=1)]
    ours = evaluate("multiclass", truth, said, scores, classes=classes)
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(truth, said))
    assert ours["f1"] == pytest.approx(reference.f1_score(truth, said, average="macro"))
    assert ours["recall"] == pytest.approx(reference.recall_score(truth, said, average="macro"))
    assert ours["log_loss"] == pytest.approx(reference.log_loss(truth, scores, labels=classes))
    assert ours["roc_auc"] == pytest.approx(
        reference.roc_auc_score(truth, scores, multi_class="ovr", labels=classes)
    )


def test_regression_metrics_equal_the_reference() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.normal(size=300), rng.normal(size=300)
    ours = evaluate("regression", truth, said, None)
    assert ours["mae"] == pytest.approx(reference.mean_absolute_error(truth, said))
    assert ours["rmse"] == pytest.approx(reference.root_mean_squared_error(truth, said))
    assert ours["mape"] == pytest.approx(reference.mean_absolute_percentage_error(truth, said))
    assert ours["r2"] == pytest.approx(reference.r2_score(truth, said))


def test_what_is_not_defined_is_nan_and_never_zero() -> None:
    nothing: Any = np.zeros(3, dtype=bool)
    values = evaluate("binary", nothing, nothing, np.zeros(3), positive=True)
    for name in ("precision", "recall", "f1", "roc_auc", "average_precision"):
        assert math.isnan(values[name]), name
    empty = evaluate("regression", np.array([]), np.array([]), None)
    assert all(math.isnan(v) for v in empty.values())


def test_an_unknown_metric_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownMetric, match="roc_auc"):
        evaluate("binary", np.ones(1), np.ones(1), np.ones(1), positive=1, names=["rocauc"])
