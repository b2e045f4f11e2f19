"""The gate: each rule with its figures, on the same rows for both models."""

from __future__ import annotations

import numpy as np
import pytest

from tidemill.core.policy import GateRule
from tidemill.models.metrics import evaluate
from tidemill.models.records import Signature
from tidemill.pipelines.comparison import Answers, aligned
from tidemill.pipelines.gates import judge
from tidemill.pipelines.records import GateReport

LABELS = np.random.default_rng(0).random(800) < 0.4
BINARY = Signature(features=(), task="binary", classes=(False, True), positive=True)


def answers(noise: float, labels: np.ndarray = LABELS) -> Answers:
    rng = np.random.default_rng(int(noise * 100))
    score = np.clip(0.5 + (labels - 0.5) * 0.4 + rng.normal(0, noise, len(labels)), 0.01, 0.99)
    return Answers(score > 0.5, score)


GOOD, BAD = answers(0.2), answers(0.6)


def judged(
    candidate: Answers,
    champion: Answers | None,
    labels: np.ndarray = LABELS,
    champion_ref: str | None = "model:m@1",
    **rules: GateRule,
) -> GateReport:
    return judge(
        rules,
        {"roc_auc": 0.123, "latency_p99_ms": 4.0},
        labels=labels,
        candidate=candidate,
        champion=champion,
        champion_ref=champion_ref,
        signature=BINARY,
        seed=0,
    )


def test_limits_are_held_against_what_was_measured() -> None:
    report = judged(GOOD, None, LABELS, None, latency_p99_ms=GateRule(max=3))
    assert not report.passed
    assert report.rules[0].sentence == "latency_p99_ms is 4, at most 3 is demanded."
    assert judged(GOOD, None, LABELS, None, roc_auc=GateRule(min=0.1)).passed


@pytest.mark.parametrize("metric", ["roc_auc", "f1", "log_loss"])
def test_the_better_model_passes_and_the_worse_does_not(metric: str) -> None:
    rule = GateRule(beats_champion=True)
    assert judged(GOOD, BAD, **{metric: rule}).passed
    assert not judged(BAD, GOOD, **{metric: rule}).passed


def test_a_tolerance_lets_an_equal_model_pass() -> None:
    like, other = answers(0.21), answers(0.2)
    assert not judged(like, other, roc_auc=GateRule(beats_champion=True)).passed
    assert judged(like, other, roc_auc=GateRule(beats_champion=True, tolerance=0.05)).passed


def test_both_models_are_measured_on_the_rows_that_they_are_compared_on() -> None:
    [rule] = judged(GOOD, BAD, roc_auc=GateRule(beats_champion=True)).rules
    ours, theirs = (
        evaluate("binary", LABELS, a.values, a.scores, positive=True)["roc_auc"]
        for a in (GOOD, BAD)
    )
    assert (rule.candidate, rule.champion) == (ours, theirs)
    assert rule.low is not None
    assert rule.low < ours - theirs


@pytest.mark.parametrize("positives", [0, 1])
def test_rows_that_cannot_tell_are_no_pass_and_say_so(positives: int) -> None:
    labels = np.arange(60) < positives
    both = (answers(0.2, labels), answers(0.6, labels))
    report = judged(*both, labels, roc_auc=GateRule(beats_champion=True))
    assert not report.passed
    assert "too few" in report.sentence
    assert report.rules[0].low is None


def test_without_a_champion_there_is_nothing_to_beat() -> None:
    assert judged(GOOD, None, LABELS, None, roc_auc=GateRule(beats_champion=True)).passed


def test_a_champion_without_rows_that_it_has_not_seen_is_not_beaten() -> None:
    report = judged(GOOD, None, roc_auc=GateRule(beats_champion=True))
    assert not report.passed
    assert "newer" in report.sentence


@pytest.mark.parametrize("metric", ["accuracy", "f1", "log_loss", "roc_auc", "brier"])
def test_a_champion_that_knows_fewer_classes_is_compared_all_the_same(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    knows = np.full((400, 3), 0.1) + 0.7 * np.eye(3)[labels]
    less = np.full((400, 2), 0.5) + 0.2 * (np.eye(3)[labels][:, :2] - 0.5)
    less /= less.sum(axis=1, keepdims=True)
    report = judge(
        {metric: GateRule(beats_champion=True)},
        {},
        labels=labels,
        candidate=Answers(knows.argmax(axis=1), knows),
        champion=aligned(Answers(less.argmax(axis=1), less), (0, 1), (0, 1, 2)),
        champion_ref="model:m@1",
        signature=Signature(features=(), task="multiclass", classes=(0, 1, 2)),
        seed=0,
    )
    assert report.passed, report.sentence
