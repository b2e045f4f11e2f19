"""What a measured window means: what is wrong in it, in words, with figures and causes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import from_micros
from tidemill.core.findings import FindingKind, Severity
from tidemill.core.tasks import LOWER_IS_BETTER, improvement
from tidemill.monitoring.attribution import attributions
from tidemill.monitoring.basis import Basis
from tidemill.monitoring.cause import explain
from tidemill.monitoring.concept import excess, first_change
from tidemill.monitoring.detectors import witnesses
from tidemill.monitoring.live import Live, features_of
from tidemill.monitoring.onset import onset
from tidemill.monitoring.performance import errors_of, losses_of
from tidemill.monitoring.records import (
    Attribution,
    ColumnDrift,
    EstimateCheck,
    Explanation,
    Finding,
    SegmentQuality,
    WindowReport,
)
from tidemill.monitoring.serving_values import Breach, skews
from tidemill.monitoring.trust import Distrust, distrust
from tidemill.monitoring.wording import (
    MOST_NAMED,
    day,
    explanation_of,
    foremost,
    hardest_of,
    movement,
    stretch,
    went,
)

LEAST_EXCESS = 0.05
"""The least part of the expected loss by which it must be exceeded to count as concept drift."""
CONCEPT_LEVEL = 0.01
_MONTH = 30 * 86400.0
_LEAST_BROKEN = 5
Floats = NDArray[np.float64]


class Verdicts:
    """Tells what is wrong in a window.

    Args:
        judge: What it is judged by.
        report: What was measured.
        answered: Its answers, of all versions that callers saw.
        mine: The live version's.
        labelled: Those of them that are labelled.
        broken: What of the contract their values break.
    """

    def __init__(
        self,
        judge: Basis,
        report: WindowReport,
        answered: pl.DataFrame,
        mine: pl.DataFrame,
        labelled: pl.DataFrame,
        broken: Sequence[Breach],
    ) -> None:
        self._judge = judge
        self._policy = judge.policy
        self._report = report
        self._answered, self._mine, self._labelled = answered, mine, labelled
        self._broken = broken
        self._watched = judge.names[0] if judge.names else ""
        self._stretch = stretch(judge.since, judge.until)

    def told(self, answer: ColumnDrift | None) -> tuple[WindowReport, list[Finding]]:
        """Return the findings, and the report with what they rest on.

        Args:
            answer: How far the answers moved, where that could be judged.
        """
        report = self._report
        distrusted = distrust(self._checks(), self._watched, self._policy.performance_drop)
        explanation = self._explanation() if self._fell() else None
        influence = self._attributions() if explanation is not None else ()
        findings = [
            self._drift(),
            self._answers(answer),
            self._performance(explanation, influence),
            self._concept(),
            self._estimated(distrusted),
            self._estimator(distrusted),
            self._silence(),
            self._contract(),
            self._skew(),
        ]
        found = [f for f in findings if f is not None]
        notes = report.notes
        if distrusted is not None:
            notes = (*notes, f"Estimates cannot be believed: {distrusted.words}.")
        if explanation is not None and explanation.note:
            notes = (*notes, explanation.note)
        report = msgspec.structs.replace(
            report,
            found=tuple(f.kind for f in found),
            notes=notes,
            explanation=explanation,
            attributions=influence,
        )
        return report, found

    @property
    def _live(self) -> Live:
        live = self._judge.live
        assert live is not None
        return live

    # Silence and values

    def _silence(self) -> Finding | None:
        report = self._report
        rhythmic = self._judge.rhythmic
        if report.predictions == 0:
            if "predictions" in rhythmic:
                return None
            said = f"No prediction was asked for in {self._stretch}."
            return self._finding("silence", "warning", said)
        if report.labelled or report.errors == report.predictions or "labels" in rhythmic:
            return None
        said = f"None of {report.predictions:,} predictions in {self._stretch} has a label yet."
        return self._finding("silence", "warning", said, numbers={"coverage": 0.0})

    def _contract(self) -> Finding | None:
        """Say which values break the contract that the version was packed with."""
        least = max(_LEAST_BROKEN, self._policy.max_out_of_contract * self._answered.height)
        broken = [b for b in self._broken if b.rows >= least]
        if not broken:
            return None
        return self._finding(
            "quality",
            "warning",
            f"Values break the contract in {self._stretch}: {foremost([b.words for b in broken])}.",
            numbers={
                "rows": float(self._answered.height),
                **{f"{b.rule}.{b.column}": round(b.share, 6) for b in broken[:8]},
            },
            columns=tuple(dict.fromkeys(b.column for b in broken)),
        )

    def _skew(self) -> Finding | None:
        """Say in what a version's first served values are unlike those that it learned from."""
        judge = self._judge
        if not judge.newborn or judge.live is None or self._mine.height < _LEAST_BROKEN:
            return None
        found = skews(
            judge.live.signature.features,
            judge.live.training,
            features_of(self._mine),
            self._policy.min_effect,
        )
        if not found:
            return None
        return self._finding(
            "skew",
            "critical",
            f"Serving gives version {judge.version} other values than training had, from its first "
            f"predictions on: {foremost([s.words for s in found])}.",
            numbers={
                **{f"training.{s.column}": s.training for s in found[:8]},
                **{f"serving.{s.column}": s.serving for s in found[:8]},
            },
            columns=tuple(dict.fromkeys(s.column for s in found)),
        )

    # Drift

    def _drift(self) -> Finding | None:
        report = self._report
        moved = sorted((c for c in report.columns if c.drifted), key=lambda c: -c.effect)
        if not moved:
            return self._together()
        named = "; ".join(movement(c) for c in moved[:MOST_NAMED])
        more = f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else ""
        return self._finding(
            "drift",
            "warning",
            f"{len(moved)} of {len(report.columns)} columns moved: {named}{more}.",
            numbers={
                "false_alarms_per_30_days": self._policy.drift_q * _MONTH / self._policy.window,
                **{f"effect.{c.column}": round(c.effect, 4) for c in moved[:8]},
                **{f"p.{c.column}": c.p_value for c in moved[:8]},
            },
            columns=tuple(c.column for c in moved),
        )

    def _together(self) -> Finding | None:
        """Say that columns moved together where none did by itself."""
        moved = [j for j in self._report.joint if j.drifted]
        if not moved:
            return None
        first = min(moved, key=lambda j: j.p_value)
        named = ", ".join(f"`{c}`" for c in first.columns[:MOST_NAMED])
        more = f" and {len(first.columns) - MOST_NAMED} more" * (len(first.columns) > MOST_NAMED)
        said = (
            f"a classifier tells their rows from the usual ones (area {first.current:.2f})"
            if first.method == "classifier"
            else f"their relations hold less (error {first.usual:.3g} → {first.current:.3g})"
        )
        return self._finding(
            "drift",
            "warning",
            f"No single column moved, but {named}{more} did together: {said}.",
            numbers={
                "false_alarms_per_30_days": self._policy.drift_q * _MONTH / self._policy.window,
                **{f"joint.{j.method}": j.current for j in moved},
                **{f"joint.{j.method}.p": j.p_value for j in moved},
            },
            columns=first.columns,
        )

    def _answers(self, answer: ColumnDrift | None) -> Finding | None:
        if answer is None or not answer.drifted:
            return None
        return self._finding(
            "prediction-drift",
            "warning",
            f"The answers moved: {answer.reference} → {answer.current}.",
            numbers={"effect": round(answer.effect, 4), "p": answer.p_value},
        )

    # Quality

    def _fell(self) -> bool:
        """Whether the watched metric is worse than it was, by more than chance and policy allow."""
        report, watched = self._report, self._watched
        span = report.intervals.get(watched)
        if watched not in report.realised or watched not in report.reference or span is None:
            return False
        fall = -improvement(watched, report.realised[watched], report.reference[watched])
        return fall >= max(self._policy.performance_drop, self._noise(watched, span))

    def _performance(
        self, explanation: Explanation | None, influence: Sequence[Attribution]
    ) -> Finding | None:
        if explanation is None:
            return None
        report, watched = self._report, self._watched
        value, usual, span = (
            report.realised[watched],
            report.reference[watched],
            report.intervals[watched],
        )
        began = self._onset()
        when = f"in {self._stretch}" if began is None else f"since {day(from_micros(began))}"
        telling = tuple(c for c in explanation.causes if c.share > 0.05)[:MOST_NAMED]
        return self._finding(
            "performance",
            "critical",
            f"{watched} {went(watched)} {usual:.3f} → {value:.3f} {when}"
            f"{explanation_of(explanation, telling)}{hardest_of(self._hardest(), watched)}.",
            numbers={
                f"{watched}.reference": usual,
                f"{watched}.realised": value,
                f"{watched}.low": span[0],
                f"{watched}.high": span[1],
                "coverage": report.coverage,
                "explained": explanation.inputs,
                "relation": explanation.relation,
                **({} if began is None else {"onset": float(began)}),
                **{f"attribution.{a.column}": round(a.current, 4) for a in influence[:8]},
                **{f"attribution.{a.column}.usual": round(a.usual, 4) for a in influence[:8]},
            },
            columns=tuple(c.column for c in telling),
            causes=telling,
        )

    def _explanation(self) -> Explanation:
        """Ask what the change is made of: the columns that moved first, then the others."""
        report, live = self._report, self._live
        ranked = sorted(report.columns, key=lambda c: (not c.drifted, -c.effect))
        return explain(
            features_of(live.holdout),
            features_of(self._labelled),
            [c.column for c in ranked],
            metric=self._watched,
            measure=live.measure(self._watched),
            realised=report.realised[self._watched],
        )

    def _attributions(self) -> tuple[Attribution, ...]:
        live = self._live
        answer = live.answer
        if answer is None:
            return ()
        names = [c.name for c in live.signature.features]
        return attributions(answer, features_of(live.holdout), features_of(self._mine), names)

    def _onset(self) -> int | None:
        """Return when the loss began to be larger, by blocks; held-out blocks come first."""
        live = self._live
        usual = _by_block(live.losses, live.holdout["block"])
        before = [s for s in self._judge.recent if s.realised is not None]
        here = _by_block(losses_of(live.signature, self._labelled), self._labelled["block"])
        place = 1 if live.signature.task == "regression" else 0
        sums = [(s.realised.sums[place], s.realised.many) for s in before if s.realised is not None]
        values = [*usual.means, *(total / many for total, many in sums), *here.means]
        weights = [*usual.rows, *(many for _, many in sums), *here.rows]
        length = int(self._policy.block * 1e6)
        begins = [*(s.since for s in before), *(b * length for b in here.blocks)]
        found = onset(np.array(values), np.array(weights), len(usual.blocks))
        return None if found is None else begins[max(found - len(usual.blocks), 0)]

    def _hardest(self) -> SegmentQuality | None:
        """Return the segment whose quality fell most, as far as that is sure."""
        watched = self._watched
        known = [
            (self._sure_fall(s), s)
            for s in self._report.segments
            if watched in s.metrics and watched in s.reference
        ]
        if len(known) < 2:
            return None
        fall, worst = max(known, key=lambda k: k[0])
        return worst if fall > 0 else None

    def _sure_fall(self, segment: SegmentQuality) -> float:
        value = segment.metrics[self._watched]
        low, high = segment.intervals.get(self._watched, (value, value))
        fall = -improvement(self._watched, value, segment.reference[self._watched])
        return fall - (high - low) / 2

    def _noise(self, metric: str, span: tuple[float, float]) -> float:
        """Return how much chance makes of a metric: the window's part, and the reference's."""
        return float(np.hypot((span[1] - span[0]) / 2, self._live.noise(metric)))

    # Estimates

    def _checks(self) -> list[EstimateCheck]:
        """Return estimates held against what came true, this window's first."""
        report, watched = self._report, self._watched
        checks = [c for c in self._judge.checks if c.version == report.version]
        if watched in report.realised and watched in report.bands:
            low, high = report.bands[watched]
            now = EstimateCheck(
                since=report.since,
                version=report.version,
                metric=watched,
                estimated=report.estimated[watched],
                realised=report.realised[watched],
                within=low <= report.realised[watched] <= high,
            )
            checks.insert(0, now)
        return checks

    def _estimated(self, distrusted: Distrust | None) -> Finding | None:
        """Say that quality probably fell, where labels are too few to know."""
        report, watched = self._report, self._watched
        if distrusted is not None or report.realised:
            return None
        if watched not in report.bands or watched not in report.reference:
            return None
        value, usual, span = (
            report.estimated[watched],
            report.reference[watched],
            report.bands[watched],
        )
        best = span[0] if watched in LOWER_IS_BETTER else span[1]
        fall = -improvement(watched, value, usual)
        if fall < self._policy.performance_drop or improvement(watched, best, usual) >= 0:
            return None
        return self._finding(
            "estimated-performance",
            "warning",
            f"{watched} probably {went(watched)} {usual:.3f} → {value:.3f} in {self._stretch}: "
            f"an estimate, since {report.coverage:.0%} of the predictions are labelled.",
            numbers={f"{watched}.reference": usual, f"{watched}.estimated": value},
        )

    def _estimator(self, distrusted: Distrust | None) -> Finding | None:
        """Say that estimates cannot be believed, once labels showed it."""
        if distrusted is None or self._watched not in self._report.realised:
            return None
        return self._finding(
            "estimator",
            "warning",
            f"What is estimated without labels cannot be believed: {distrusted.words}.",
            numbers={
                "windows": float(distrusted.windows),
                "outside": float(distrusted.outside),
                "mean_absolute": distrusted.mean_absolute,
                "bias": distrusted.bias,
                "p": distrusted.p_value,
            },
        )

    def _concept(self) -> Finding | None:
        if not self._report.realised:
            return None
        live = self._live
        ordered = self._labelled.sort("arrived", "id")
        usual, now = live.residuals(live.holdout), live.residuals(ordered)
        if usual is None or now is None:
            return None
        growth, p_value = excess(
            usual, live.holdout["block"].to_numpy(), now, ordered["block"].to_numpy()
        )
        expected = float((losses_of(live.signature, ordered) - now).mean())
        if p_value > CONCEPT_LEVEL or growth < LEAST_EXCESS * expected:
            return None
        change = first_change(np.concatenate([usual, now]), known=len(usual))
        if change is None:
            return None
        noticed = ordered["time"][change.index - len(usual)]
        wrong = [errors_of(live.signature, rows) for rows in (live.holdout, ordered)]
        seen = witnesses(np.concatenate(wrong), np.concatenate([usual, now]), known=len(usual))
        return self._finding(
            "concept",
            "critical",
            f"The loss is {growth / expected:.0%} larger than the inputs lead one to expect "
            f"({expected:.3f} → {expected + growth:.3f} a row), seen from "
            f"{day(from_micros(noticed))} on: the relation of features and label has changed.",
            numbers={
                "expected": expected,
                "excess": growth,
                "p": p_value,
                "noticed": float(noticed),
                **{f"noticed.{name}": float(ordered["time"][at]) for name, at in seen.items()},
            },
        )

    def _finding(
        self, kind: FindingKind, severity: Severity, message: str, **details: Any
    ) -> Finding:
        judge = self._judge
        return Finding(
            kind=kind,
            severity=severity,
            endpoint=judge.endpoint,
            model=judge.model,
            version=judge.version,
            since=judge.since,
            until=judge.until,
            message=message,
            **details,
        )


class _Means(msgspec.Struct, frozen=True):
    """The mean of each block by time, and how many rows it has."""

    blocks: list[int]
    means: list[float]
    rows: list[float]


def _by_block(values: Floats, blocks: pl.Series) -> _Means:
    if not len(values):
        return _Means([], [], [])
    known, rows = np.unique(blocks.to_numpy(), return_inverse=True)
    many = np.bincount(rows)
    means = np.bincount(rows, weights=values) / many
    return _Means(known.tolist(), means.tolist(), many.astype(float).tolist())
