"""Looks at one window: measures it, compares it, and puts what it finds into words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.core.policy import MonitorPolicy
from tidemill.core.tasks import improvement, metrics_of
from tidemill.models.metrics import log_losses
from tidemill.monitoring.cause import causes
from tidemill.monitoring.concept import block_mean, first_change
from tidemill.monitoring.drift import DriftReference
from tidemill.monitoring.estimation import Calibrator, estimate_binary
from tidemill.monitoring.performance import (
    LEAST_ROWS,
    NORMAL_95,
    by_segment,
    intervals,
    losses_of,
    metrics_of_rows,
)
from tidemill.monitoring.records import (
    Cause,
    ColumnDrift,
    Finding,
    FindingKind,
    SegmentQuality,
    Severity,
    WindowReport,
)
from tidemill.monitoring.reference import Reference, blocks_of

MOST_NAMED = 3
LEAST_EXCESS = 0.05
"""By which share the realised loss must exceed the expected one to speak of concept drift."""
SIGMAS = 3.0


class Live:
    """The live version's reference with what is computed from it once.

    Args:
        reference: Of the version.
        drift: The same, calibrated.
    """

    def __init__(self, reference: Reference, drift: DriftReference) -> None:
        self.reference = reference
        self.drift = drift
        self.signature = reference.signature
        holdout = reference.holdout
        self.holdout = holdout.rename({reference.label: "label"}) if holdout.height else holdout
        self.losses = losses_of(self.signature, self.holdout) if holdout.height else np.zeros(0)
        self.calibrator = self._calibrator()
        self._errors: dict[str, float] = {}

    def error_of(self, metric: str, block: float) -> float:
        """Return the standard error of a metric on the held-out rows; 0 where it is not known.

        Args:
            metric: Its name.
            block: The length of a block in seconds.
        """
        if metric not in self._errors:
            self._errors[metric] = self._standard_error(metric, block)
        return self._errors[metric]

    def _standard_error(self, metric: str, block: float) -> float:
        time = self.reference.time
        if time is None or not self.holdout.height:
            return 0.0
        rows = self.holdout.with_columns(blocks_of(self.holdout[time], block).alias("block"))
        values = metrics_of_rows(self.signature, rows, (metric,))
        span = intervals(self.signature, rows, (metric,), values).get(metric)
        return 0.0 if span is None else (span[1] - span[0]) / (2 * NORMAL_95)

    def _calibrator(self) -> Calibrator | None:
        if self.signature.task != "binary" or self.holdout.height < LEAST_ROWS:
            return None
        positives = (self.holdout["label"] == self.signature.positive).to_numpy()
        return Calibrator(self.holdout["score"].to_numpy(), positives)


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """What a window is judged by."""

    endpoint: str
    model: str
    version: int
    policy: MonitorPolicy
    metrics: tuple[str, ...]
    live: Any
    since: datetime
    until: datetime

    def look(self, rows: pl.DataFrame) -> tuple[WindowReport, list[Finding]]:
        """Measure a window.

        Args:
            rows: Its predictions with features, answers, labels and `block`.
        """
        answered = rows.filter((pl.col("status") == "ok") & (pl.col("role") != "shadow"))
        notes: list[str] = []
        columns = self._columns(answered, notes)
        mine = answered.filter(pl.col("version") == self.version)
        labelled = mine.filter(pl.col("label").is_not_null())
        realised, spans, segments = self._realised(answered, mine, labelled, notes)
        report = WindowReport(
            endpoint=self.endpoint,
            model=self.model,
            version=self.version,
            since=self.since,
            until=self.until,
            predictions=rows.height,
            errors=int((rows["status"] != "ok").sum()),
            latency_p50_us=float(rows["latency_us"].quantile(0.5) or 0.0) if rows.height else 0.0,
            latency_p99_us=float(rows["latency_us"].quantile(0.99) or 0.0) if rows.height else 0.0,
            labelled=int(answered["label"].is_not_null().sum()) if answered.height else 0,
            coverage=_share(answered["label"].is_not_null()) if answered.height else 0.0,
            realised=realised,
            intervals=spans,
            estimated=self._estimated(mine),
            reference={} if self.live is None else self.live.reference.metrics,
            columns=columns,
            segments=segments,
            notes=tuple(notes),
        )
        return report, self._findings(report, labelled)

    @property
    def _names(self) -> tuple[str, ...]:
        known = metrics_of(self.live.signature.task) if self.live else ()
        wanted = tuple(m for m in self.metrics if m in known)
        return wanted or known

    def _columns(self, rows: pl.DataFrame, notes: list[str]) -> tuple[ColumnDrift, ...]:
        if self.live is None:
            notes.append("Drift cannot be judged, because the version has no reference.")
            return ()
        if rows.height < LEAST_ROWS:
            notes.append(f"Drift cannot be judged, because the window has {rows.height} rows.")
            return ()
        columns, note = self.live.drift.compare(
            rows, rows["block"], q=self.policy.drift_q, least_effect=self.policy.min_effect
        )
        if note:
            notes.append(note)
        return columns  # type: ignore[no-any-return]

    def _realised(
        self,
        answered: pl.DataFrame,
        mine: pl.DataFrame,
        labelled: pl.DataFrame,
        notes: list[str],
    ) -> tuple[dict[str, float], dict[str, tuple[float, float]], tuple[SegmentQuality, ...]]:
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
        spans = intervals(signature, labelled, self._names, values)
        segments = by_segment(signature, labelled, self.policy.segments, self._names)
        return values, spans, segments

    def _estimated(self, mine: pl.DataFrame) -> dict[str, float]:
        if self.live is None or self.live.calibrator is None or mine.height < LEAST_ROWS:
            return {}
        scores = mine["score"].cast(pl.Float64).to_numpy()
        said = (mine["prediction"] == self.live.signature.positive).to_numpy()
        estimated = estimate_binary(self.live.calibrator(scores), scores, said)
        return {k: v for k, v in estimated.items() if k in self._names}

    def _findings(self, report: WindowReport, labelled: pl.DataFrame) -> list[Finding]:
        findings = [
            self._drift(report),
            self._performance(report, labelled),
            self._concept(report, labelled),
            self._silence(report),
        ]
        return [f for f in findings if f is not None]

    def _silence(self, report: WindowReport) -> Finding | None:
        if report.predictions:
            return None
        said = f"No prediction was asked for from {self.since:%d %B} to {self.until:%d %B}."
        return self._finding("silence", "warning", said)

    def _drift(self, report: WindowReport) -> Finding | None:
        moved = sorted((c for c in report.columns if c.drifted), key=lambda c: -c.effect)
        if not moved:
            return None
        named = "; ".join(f"`{c.column}` {c.reference} → {c.current}" for c in moved[:MOST_NAMED])
        more = f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else ""
        many = "column" if len(moved) == 1 else "columns"
        return self._finding(
            "drift",
            "warning",
            f"{len(moved)} of {len(report.columns)} {many} moved: {named}{more}.",
            numbers={f"effect.{c.column}": round(c.effect, 4) for c in moved[:8]},
            columns=tuple(c.column for c in moved),
        )

    def _performance(self, report: WindowReport, labelled: pl.DataFrame) -> Finding | None:
        if not report.realised:
            return None
        watched = self._names[0]
        value, usual = report.realised[watched], report.reference.get(watched, float("nan"))
        fall = -improvement(watched, value, usual)
        span = report.intervals.get(watched)
        if not fall >= self.policy.performance_drop or span is None:
            return None
        # Both figures are uncertain: the window's, and the one that it is compared with.
        error = (span[1] - span[0]) / (2 * NORMAL_95)
        before = self.live.error_of(watched, self.policy.block)
        if fall < NORMAL_95 * float(np.hypot(error, before)):
            return None
        explained = self._causes(report, labelled)
        return self._finding(
            "performance",
            "critical",
            f"{watched} went {usual:.3f} → {value:.3f} in the week from {self.since:%d %B}"
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

    def _causes(self, report: WindowReport, labelled: pl.DataFrame) -> tuple[Cause, ...]:
        if not len(self.live.losses):
            return ()
        moved = [c.column for c in report.columns if c.drifted]
        found = causes(
            self.live.holdout,
            self.live.losses,
            labelled,
            losses_of(self.live.signature, labelled),
            moved,
        )
        return tuple(c for c in found if c.share > 0.05)[:MOST_NAMED]

    def _hardest(self, report: WindowReport, metric: str) -> str:
        known = [s for s in report.segments if not np.isnan(s.metrics[metric])]
        if len(known) < 2:
            return ""
        worst = min(known, key=lambda s: improvement(metric, s.metrics[metric], 0.0))
        return f"; `{worst.column}` {worst.value} is hit hardest ({worst.metrics[metric]:.3f})"

    def _concept(self, report: WindowReport, labelled: pl.DataFrame) -> Finding | None:
        if not report.realised or self.live.calibrator is None:
            return None
        ordered = labelled.sort("arrived", "id")
        scores = ordered["score"].cast(pl.Float64).to_numpy()
        expected = self.live.calibrator(scores)
        certain, impossible = np.ones(len(scores), bool), np.zeros(len(scores), bool)
        usual = expected * log_losses(certain, scores) + (1 - expected) * log_losses(
            impossible, scores
        )
        residuals = losses_of(self.live.signature, ordered) - usual
        change = first_change(residuals)
        mean, error = block_mean(residuals, ordered["block"])
        if change is None or mean < LEAST_EXCESS * float(usual.mean()) or mean < SIGMAS * error:
            return None
        return self._finding(
            "concept",
            "critical",
            f"The loss is {mean:.3f} a row larger than the scores lead one to expect "
            f"({usual.mean():.3f}): the relation of features and label has changed.",
            numbers={"residual": mean, "error": error, "expected": float(usual.mean())},
        )

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


def _explanation(explained: tuple[Cause, ...]) -> str:
    if not explained:
        return "; no shift of a column explains it"
    named = ", ".join(f"`{c.column}` ({min(c.share, 1.0):.0%})" for c in explained)
    return f"; shifts that explain it: {named}"


def _share(flags: pl.Series) -> float:
    return float(flags.sum()) / max(len(flags), 1)
