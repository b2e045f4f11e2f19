"""The gate: what a candidate must reach, and whether it did, in figures and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.core.policy import GateRule
from tidemill.models.metrics import evaluate
from tidemill.models.records import Signature
from tidemill.pipelines.comparison import Answers, Improvement, bootstrap, delong
from tidemill.pipelines.records import GateReport, RuleReport


def judge(
    rules: Mapping[str, GateRule],
    metrics: Mapping[str, float],
    *,
    labels: NDArray[Any],
    candidate: Answers,
    champion: Answers | None,
    champion_ref: str | None,
    signature: Signature,
    seed: int,
) -> GateReport:
    """Hold a candidate against the rules.

    Args:
        rules: By metric.
        metrics: The candidate's.
        labels: What came true on the held-out rows, shape (n,).
        candidate: The candidate's answers for them.
        champion: The live model's answers for them, where there is one.
        champion_ref: The live version.
        signature: Of the candidate.
        seed: Of the resampling.
    """
    reports = []
    for metric, rule in rules.items():
        value = metrics.get(metric, float("nan"))
        reports += limits(metric, rule, value)
        if rule.beats_champion and champion_ref is not None and champion is None:
            reports.append(_not_comparable(metric, value))
        elif rule.beats_champion and champion is not None:
            gain = _gain(metric, rule, labels, candidate, champion, signature, seed)
            ours, theirs = (
                _measured(metric, labels, answers, signature) for answers in (candidate, champion)
            )
            reports.append(_against(metric, rule, ours, theirs, gain))
    return GateReport(
        passed=all(r.passed for r in reports),
        rules=tuple(reports),
        champion=champion_ref,
        rows=len(labels),
    )


def limits(metric: str, rule: GateRule, value: float) -> list[RuleReport]:
    """Hold a value against the limits of a rule."""
    reports = []
    if rule.min is not None:
        holds = value >= rule.min
        said = f"{metric} is {value:.4g}, at least {rule.min:g} is demanded."
        reports.append(
            RuleReport(
                metric=metric,
                rule="min",
                passed=holds,
                candidate=value,
                limit=rule.min,
                sentence=said,
            )
        )
    if rule.max is not None:
        holds = value <= rule.max
        said = f"{metric} is {value:.4g}, at most {rule.max:g} is demanded."
        reports.append(
            RuleReport(
                metric=metric,
                rule="max",
                passed=holds,
                candidate=value,
                limit=rule.max,
                sentence=said,
            )
        )
    return reports


def _not_comparable(metric: str, value: float) -> RuleReport:
    said = (
        f"{metric} cannot be compared with the champion's: too few held-out rows are newer than "
        "what it learned from."
    )
    return RuleReport(
        metric=metric, rule="beats_champion", passed=False, candidate=value, sentence=said
    )


def _measured(metric: str, labels: NDArray[Any], answers: Answers, signature: Signature) -> float:
    return evaluate(
        signature.task,
        labels,
        answers.values,
        answers.scores,
        classes=signature.classes or (),
        positive=signature.positive,
        names=(metric,),
    )[metric]


def _gain(
    metric: str,
    rule: GateRule,
    labels: NDArray[Any],
    candidate: Answers,
    champion: Answers,
    signature: Signature,
    seed: int,
) -> Improvement:
    if metric == "roc_auc" and signature.task == "binary":
        assert candidate.scores is not None
        assert champion.scores is not None
        yes = np.asarray(labels == signature.positive)
        if yes.all() or not yes.any():
            return Improvement(float("nan"), float("nan"), float("nan"))
        return delong(yes, candidate.scores, champion.scores, rule.confidence)
    return bootstrap(
        metric,
        signature.task,
        labels,
        candidate,
        champion,
        classes=signature.classes,
        positive=signature.positive,
        confidence=rule.confidence,
        seed=seed,
    )


def _undecided(metric: str, value: float, theirs: float) -> RuleReport:
    said = (
        f"{metric} is {value:.4g} against the champion's {theirs:.4g}, but the held-out rows are "
        "too few, or too much alike, to tell chance from a difference."
    )
    return RuleReport(
        metric=metric,
        rule="beats_champion",
        passed=False,
        candidate=value,
        champion=theirs,
        sentence=said,
    )


def _against(
    metric: str, rule: GateRule, value: float, theirs: float, gain: Improvement
) -> RuleReport:
    if np.isnan(gain.low):
        return _undecided(metric, value, theirs)
    holds = gain.low >= -rule.tolerance
    demanded = (
        "it must be shown to be better"
        if rule.tolerance == 0
        else f"it must be shown to be worse by no more than {rule.tolerance:g}"
    )
    said = (
        f"{metric} is {value:.4g} against the champion's {theirs:.4g}: better by "
        f"{gain.value:+.4f}, "
        f"at {rule.confidence:.0%} at least {gain.low:+.4f}; {demanded}."
    )
    return RuleReport(
        metric=metric,
        rule="beats_champion",
        passed=bool(holds),
        candidate=value,
        champion=theirs,
        limit=-rule.tolerance,
        low=gain.low,
        high=gain.high,
        sentence=said,
    )
