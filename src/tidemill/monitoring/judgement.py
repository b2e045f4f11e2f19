"""Looks at one window: measures it and compares it; what that means is put into words elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tidemill.core.clock import from_micros
from tidemill.core.tasks import metrics_of
from tidemill.monitoring.basis import Basis
from tidemill.monitoring.drift import decided
from tidemill.monitoring.live import Live, answers_of, features_of
from tidemill.monitoring.past import detailed
from tidemill.monitoring.performance import (
    LEAST_ROWS,
    defined,
    intervals,
    metrics_of_rows,
    represented,
)
from tidemill.monitoring.quality import Quality, spans
from tidemill.monitoring.records import (
    ColumnDrift,
    Finding,
    JointDrift,
    SegmentQuality,
    VersionQuality,
    WindowReport,
)
from tidemill.monitoring.segments import by_segment
from tidemill.monitoring.serving_values import breaches
from tidemill.monitoring.state import SHADOW
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.verdicts.told import told

Measured = tuple[dict[str, float], dict[str, tuple[float, float]], tuple[SegmentQuality, ...]]


class Judge(Basis, frozen=True, kw_only=True):
    """Judges windows by what it is made of."""

    def look(self, rows: pl.DataFrame) -> tuple[WindowReport, list[Finding]]:
        """Measure a window.

        Args:
            rows: Its predictions with features, answers, labels and `block`.
        """
        asked = rows.filter(pl.col("role") != SHADOW)
        answered = asked.filter(pl.col("status") == "ok")
        labels = answered["label"].is_not_null()
        mine = answered.filter(pl.col("version") == self.version)
        labelled = mine.filter(pl.col("label").is_not_null())
        notes: list[str] = []
        columns, answer = self._columns(answered, mine, notes)
        columns, joint = self._joint(answered, columns)
        realised, ends, segments = self._realised(mine, labelled, notes)
        live = self.live
        parts = labelled.partition_by("block") if realised and live is not None else []
        qualities = [] if live is None else [Quality.realised(live.signature, p) for p in parts]
        classes, averages, average_spans = detailed(qualities, live)
        estimated, bands = ({}, {}) if live is None else live.estimate(mine, self.names)
        broken = () if live is None else breaches(live.features, features_of(answered))
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
            intervals=ends,
            estimated=estimated,
            bands=bands,
            reference={} if live is None else live.metrics,
            columns=columns,
            joint=joint,
            segments=segments,
            versions=self._versions(rows),
            classes=classes,
            averages=averages,
            average_intervals=average_spans,
            notes=tuple(notes),
            newest_label=None if newest is None else from_micros(newest),
            represented=represented(asked),
            out_of_contract=_by_column([(b.column, b.rows) for b in broken]),
        )
        evidence = Evidence(
            judge=self,
            report=report,
            answered=answered,
            mine=mine,
            labelled=labelled,
            broken=broken,
        )
        return told(evidence, answer)

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
        q, least = self.policy.drift_q, self.policy.min_effect
        columns, note = self.live.drift.compare(
            features_of(rows), rows["block"], earlier=self.earlier, q=q, least_effect=least
        )
        notes += [n for n in (note, self.live.unwatched) if n]
        if mine.height < LEAST_ROWS:
            return columns, None
        said, note = self.live.answers.compare(
            answers_of(self.live.signature, mine), mine["block"], q=q, least_effect=least
        )
        notes += [note.replace("Drift", "Prediction drift", 1)] if note else []
        return columns, said[0] if said else None

    def _joint(
        self, rows: pl.DataFrame, columns: tuple[ColumnDrift, ...]
    ) -> tuple[tuple[ColumnDrift, ...], tuple[JointDrift, ...]]:
        """Compare columns together, and decide of all tests at once."""
        if not columns or self.live is None:
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
        values = metrics_of_rows(signature, labelled, self.names)
        lacking = sorted(values.keys() - defined(values).keys())
        notes += [f"{name} is not defined for the window's labels." for name in lacking]
        ends = intervals(signature, labelled, self.names, values)
        segments = by_segment(signature, mine, self.live.holdout, self.policy.segments, self.names)
        return defined(values), ends, segments

    def _versions(self, rows: pl.DataFrame) -> tuple[VersionQuality, ...]:
        """Measure each version in each part that it played, shadows included."""
        parts = rows.partition_by("version", "role", maintain_order=True)
        found = [self._version(part) for part in parts]
        return tuple(sorted(found, key=lambda v: (v.version, v.role)))

    def _version(self, rows: pl.DataFrame) -> VersionQuality:
        version = int(rows["version"][0])
        live: Live | None = self.lives(version)
        answered = rows.filter(pl.col("status") == "ok")
        labelled = answered.filter(pl.col("label").is_not_null())
        metrics: dict[str, float] = {}
        ends: dict[str, tuple[float, float]] = {}
        if live is not None and labelled.height >= LEAST_ROWS:
            names = [n for n in self.names if n in metrics_of(live.signature.task)]
            metrics = defined(metrics_of_rows(live.signature, labelled, names))
            ends = spans(live.signature, labelled, metrics)
        return VersionQuality(
            version=version,
            role=str(rows["role"][0]),
            predictions=rows.height,
            errors=rows.height - answered.height,
            labelled=labelled.height,
            coverage=labelled.height / max(answered.height, 1),
            metrics=metrics,
            intervals=ends,
            latency_p50_us=float(rows["latency_us"].quantile(0.5) or 0.0),
            latency_p99_us=float(rows["latency_us"].quantile(0.99) or 0.0),
        )


def _by_column(counts: Sequence[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for column, many in counts:
        found[column] = found.get(column, 0) + many
    return found


def _share(flags: pl.Series) -> float:
    return float(flags.sum()) / max(len(flags), 1)
