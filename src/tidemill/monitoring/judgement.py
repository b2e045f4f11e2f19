"""Looks at one window: measures it, compares it, and puts what it finds into words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.core.clock import from_micros
from tidemill.core.findings import FindingKind, Severity
from tidemill.core.policy import MonitorPolicy
from tidemill.core.tasks import LOWER_IS_BETTER, improvement, metrics_of
from tidemill.monitoring.blocks import BlockCounts
from tidemill.monitoring.cause import causes
from tidemill.monitoring.concept import excess, first_change
from tidemill.monitoring.detectors import witnesses
from tidemill.monitoring.drift import decided
from tidemill.monitoring.live import Live, answers_of, features_of
from tidemill.monitoring.past import detailed
from tidemill.monitoring.performance import (
    LEAST_ROWS,
    by_segment,
    defined,
    errors_of,
    intervals,
    losses_of,
    metrics_of_rows,
)
from tidemill.monitoring.quality import Quality
from tidemill.monitoring.records import (
    Cause,
    ColumnDrift,
    Finding,
    JointDrift,
    SegmentQuality,
    WindowReport,
)

MOST_NAMED = 3
LEAST_EXCESS = 0.05
"""The least part of the expected loss by which it must be exceeded to count as concept drift."""
CONCEPT_LEVEL = 0.01
_MONTH = 30 * 86400.0
Measured = tuple[dict[str, float], dict[str, tuple[float, float]], tuple[SegmentQuality, ...]]


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """What a window is judged by.

    Attributes:
        endpoint: Which endpoint.
        model: The model that it serves.
        version: The live version.
        policy: How to judge.
        metrics: Which metrics; the first is the one that is watched.
        live: What the version is compared with, where it has a reference.
        since: Where the window begins.
        until: Where it ends, exclusive.
        earlier: Counts of the stretches just before it, as `DriftReference.compare` takes them.
    """

    endpoint: str
    model: str
    version: int
    policy: MonitorPolicy
    metrics: tuple[str, ...]
    live: Any
    since: datetime
    until: datetime
    earlier: Sequence[dict[str, BlockCounts]] = ()

    def look(self, rows: pl.DataFrame) -> tuple[WindowReport, list[Finding]]:
        """Measure a window.

        Args:
            rows: Its predictions with features, answers, labels and `block`.
        """
        asked = rows.filter(pl.col("role") != "shadow")
        answered = asked.filter(pl.col("status") == "ok")
        labels = answered["label"].is_not_null()
        mine = answered.filter(pl.col("version") == self.version)
        labelled = mine.filter(pl.col("label").is_not_null())
        notes: list[str] = []
        columns, answer = self._columns(answered, mine, notes)
        columns, joint = self._joint(answered, columns)
        realised, spans, segments = self._realised(mine, labelled, notes)
        live: Live | None = self.live
        parts = labelled.partition_by("block") if realised and live is not None else []
        qualities = [Quality.realised(self.live.signature, part) for part in parts]
        classes, averages, average_spans = detailed(qualities, live)
        estimated, bands = ({}, {}) if live is None else live.estimate(mine, self._names)
        newest: int | None = answered["arrived"].max()  # type: ignore[assignment]
        report = WindowReport(
            endpoint=self.endpoint,
            model=self.model,
            version=self.version,
            since=self.since,
            until=self.until,
            predictions=asked.height,
            errors=asked.height - answered.height,
            latency_p50_us=float(asked["latency_us"].quantile(0.5) or 0.0),
            latency_p99_us=float(asked["latency_us"].quantile(0.99) or 0.0),
            labelled=int(labels.sum()),
            coverage=_share(labels),
            realised=realised,
            intervals=spans,
            estimated=estimated,
            bands=bands,
            reference={} if live is None else live.metrics,
            columns=columns,
            joint=joint,
            segments=segments,
            classes=classes,
            averages=averages,
            average_intervals=average_spans,
            notes=tuple(notes),
            newest_label=None if newest is None else from_micros(newest),
        )
        found = self._findings(report, labelled, answer)
        return msgspec.structs.replace(report, found=tuple(f.kind for f in found)), found

    @property
    def _names(self) -> tuple[str, ...]:
        known = metrics_of(self.live.signature.task) if self.live else ()
        wanted = tuple(m for m in self.metrics if m in known)
        return wanted or known

    def _columns(
        self, rows: pl.DataFrame, mine: pl.DataFrame, notes: list[str]
    ) -> tuple[tuple[ColumnDrift, ...], ColumnDrift | None]:
        """Compare what came in, and what was answered."""
        if self.live is None:
            notes.append("Drift cannot be judged, because the version has no reference.")
            return (), None
        if rows.height < LEAST_ROWS:
            notes.append(f"Drift cannot be judged, because the window has {rows.height} rows.")
            return (), None
        levels = {"q": self.policy.drift_q, "least_effect": self.policy.min_effect}
        columns, note = self.live.drift.compare(
            features_of(rows), rows["block"], earlier=self.earlier, **levels
        )
        notes += [note] if note else []
        if mine.height < LEAST_ROWS:
            return columns, None
        said, note = self.live.answers.compare(
            answers_of(self.live.signature, mine), mine["block"], **levels
        )
        notes += [note.replace("Drift", "Prediction drift", 1)] if note else []
        return columns, said[0] if said else None

    def _joint(
        self, rows: pl.DataFrame, columns: tuple[ColumnDrift, ...]
    ) -> tuple[tuple[ColumnDrift, ...], tuple[JointDrift, ...]]:
        """Compare columns together, and decide of all tests at once."""
        if not columns:
            return (), ()
        found = self.live.joint(
            features_of(rows), rows["block"], multivariate=self.policy.multivariate
        )
        q, least = self.policy.drift_q, self.policy.min_effect
        return decided(columns, found, q=q, least_effect=least)

    def _realised(self, mine: pl.DataFrame, labelled: pl.DataFrame, notes: list[str]) -> Measured:
        if self.live is None:
            return {}, {}, ()
        if labelled.height < LEAST_ROWS:
            notes.append(
                f"Quality cannot be judged, because version {self.version} has "
                f"{labelled.height} labelled predictions in the window."
            )
            return {}, {}, ()
        covered = _share(mine["label"].is_not_null())
        if covered < self.policy.min_label_coverage:
            notes.append(
                f"Quality cannot be judged, because {covered:.0%} of the predictions are labelled "
                f"and {self.policy.min_label_coverage:.0%} are asked for."
            )
            return {}, {}, ()
        signature = self.live.signature
        values = metrics_of_rows(signature, labelled, self._names)
        lacking = sorted(values.keys() - defined(values).keys())
        notes += [f"{name} is not defined for the window's labels." for name in lacking]
        spans = intervals(signature, labelled, self._names, values)
        segments = by_segment(signature, labelled, self.policy.segments, self._names)
        return defined(values), spans, segments

    def _findings(
        self, report: WindowReport, labelled: pl.DataFrame, answer: ColumnDrift | None
    ) -> list[Finding]:
        findings = [
            self._drift(report),
            self._answers(answer),
            self._performance(report, labelled),
            self._concept(report, labelled),
            self._estimated(report),
            self._silence(report),
        ]
        return [f for f in findings if f is not None]

    def _silence(self, report: WindowReport) -> Finding | None:
        if report.predictions == 0:
            said = f"No prediction was asked for in {self._stretch}."
            return self._finding("silence", "warning", said)
        if report.labelled or report.errors == report.predictions:
            return None
        said = f"None of {report.predictions:,} predictions in {self._stretch} has a label yet."
        return self._finding("silence", "warning", said, numbers={"coverage": 0.0})

    def _drift(self, report: WindowReport) -> Finding | None:
        moved = sorted((c for c in report.columns if c.drifted), key=lambda c: -c.effect)
        if not moved:
            return self._together(report)
        named = "; ".join(_movement(c) for c in moved[:MOST_NAMED])
        more = f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else ""
        many = "column" if len(moved) == 1 else "columns"
        return self._finding(
            "drift",
            "warning",
            f"{len(moved)} of {len(report.columns)} {many} moved: {named}{more}.",
            numbers={
                "false_alarms_per_30_days": self.policy.drift_q * _MONTH / self.policy.window,
                **{f"effect.{c.column}": round(c.effect, 4) for c in moved[:8]},
                **{f"p.{c.column}": c.p_value for c in moved[:8]},
            },
            columns=tuple(c.column for c in moved),
        )

    def _together(self, report: WindowReport) -> Finding | None:
        """Say that columns moved together where none did by itself."""
        moved = [j for j in report.joint if j.drifted]
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
                "false_alarms_per_30_days": self.policy.drift_q * _MONTH / self.policy.window,
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

    def _performance(self, report: WindowReport, labelled: pl.DataFrame) -> Finding | None:
        watched = self._names[0] if self._names else ""
        span = report.intervals.get(watched)
        if watched not in report.realised or watched not in report.reference or span is None:
            return None
        value, usual = report.realised[watched], report.reference[watched]
        fall = -improvement(watched, value, usual)
        if fall < max(self.policy.performance_drop, self._noise(watched, span)):
            return None
        explained = self._causes(report, labelled)
        return self._finding(
            "performance",
            "critical",
            f"{watched} {_went(watched)} {usual:.3f} → {value:.3f} in {self._stretch}"
            f"{_explanation(explained)}{self._hardest(report, watched)}.",
            numbers={
                f"{watched}.reference": usual,
                f"{watched}.realised": value,
                f"{watched}.low": span[0],
                f"{watched}.high": span[1],
                "coverage": report.coverage,
            },
            columns=tuple(c.column for c in explained),
            causes=explained,
        )

    def _noise(self, metric: str, span: tuple[float, float]) -> float:
        """Return how much chance makes of a metric: the window's part, and the reference's."""
        return float(np.hypot((span[1] - span[0]) / 2, self.live.noise(metric)))

    def _estimated(self, report: WindowReport) -> Finding | None:
        """Say that quality probably fell, where labels are too few to know."""
        watched = self._names[0] if self._names else ""
        if report.realised or watched not in report.bands or watched not in report.reference:
            return None
        value, usual, span = (
            report.estimated[watched],
            report.reference[watched],
            report.bands[watched],
        )
        best = span[0] if watched in LOWER_IS_BETTER else span[1]
        fall = -improvement(watched, value, usual)
        if fall < self.policy.performance_drop or improvement(watched, best, usual) >= 0:
            return None
        return self._finding(
            "estimated-performance",
            "warning",
            f"{watched} probably {_went(watched)} {usual:.3f} → {value:.3f} in {self._stretch}: "
            f"an estimate, since {report.coverage:.0%} of the predictions are labelled.",
            numbers={f"{watched}.reference": usual, f"{watched}.estimated": value},
        )

    def _causes(self, report: WindowReport, labelled: pl.DataFrame) -> tuple[Cause, ...]:
        if not len(self.live.losses):
            return ()
        moved = [c.column for c in report.columns if c.drifted]
        found = causes(
            features_of(self.live.holdout),
            self.live.losses,
            features_of(labelled),
            losses_of(self.live.signature, labelled),
            moved,
        )
        return tuple(c for c in found if c.share > 0.05)[:MOST_NAMED]

    def _hardest(self, report: WindowReport, metric: str) -> str:
        known = [s for s in report.segments if metric in s.metrics]
        if len(known) < 2:
            return ""
        worst = min(known, key=lambda s: improvement(metric, s.metrics[metric], 0.0))
        return f"; `{worst.column}` {worst.value} is hit hardest ({worst.metrics[metric]:.3f})"

    def _concept(self, report: WindowReport, labelled: pl.DataFrame) -> Finding | None:
        if not report.realised:
            return None
        live: Live = self.live
        ordered = labelled.sort("arrived", "id")
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
            f"{_day(from_micros(noticed))} on: the relation of features and label has changed.",
            numbers={
                "expected": expected,
                "excess": growth,
                "p": p_value,
                "noticed": float(noticed),
                **{f"noticed.{name}": float(ordered["time"][at]) for name, at in seen.items()},
            },
        )

    @property
    def _stretch(self) -> str:
        """The window in words."""
        seconds = (self.until - self.since).total_seconds()
        for length, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
            if seconds >= length:
                many = f"{seconds / length:g} {name}s" if seconds != length else f"{name}"
                return f"the {many} from {_day(self.since)}"
        return f"the stretch from {_day(self.since)}"

    def _finding(
        self, kind: FindingKind, severity: Severity, message: str, **details: Any
    ) -> Finding:
        return Finding(
            kind=kind,
            severity=severity,
            endpoint=self.endpoint,
            model=self.model,
            version=self.version,
            since=self.since,
            until=self.until,
            message=message,
            **details,
        )


def _movement(column: ColumnDrift) -> str:
    """Say how a column moved: by its typical value, or by what is missing where that grew."""
    grown = column.missing - column.missing_reference
    if grown >= 0.5 * column.effect and column.missing < 1.0:
        return f"`{column.column}` missing {column.missing_reference:.0%} → {column.missing:.0%}"
    return f"`{column.column}` {column.reference} → {column.current}"


def _explanation(explained: tuple[Cause, ...]) -> str:
    if not explained:
        return "; no shift of a column explains it"
    named = ", ".join(f"`{c.column}` ({min(c.share, 1.0):.0%})" for c in explained)
    return f"; shifts that explain it: {named}"


def _went(metric: str) -> str:
    return "rose" if metric in LOWER_IS_BETTER else "fell"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B}"


def _share(flags: pl.Series) -> float:
    return float(flags.sum()) / max(len(flags), 1)
