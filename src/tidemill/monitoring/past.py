"""Tells of any stretch of time from the sums of its blocks, without reading a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tidemill.core.clock import from_micros
from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring.blocks import BlockCounts
from tidemill.monitoring.live import Live
from tidemill.monitoring.performance import LEAST_ROWS, defined, intervals_of
from tidemill.monitoring.quality import Quality
from tidemill.monitoring.records import (
    ClassQuality,
    ColumnDrift,
    SegmentQuality,
    VersionQuality,
    WindowReport,
)
from tidemill.monitoring.state import BlockState, counts_of, latency, seen_blocks, total

_Figures = tuple[dict[str, float], dict[str, tuple[float, float]]]


def report_of(
    states: Sequence[BlockState],
    *,
    endpoint: str,
    model: str,
    version: int,
    lives: Callable[[int], Live | None],
    policy: MonitorPolicy,
    metrics: Sequence[str],
) -> WindowReport:
    """Return what is known of a stretch.

    Args:
        states: Of its blocks, all versions, at least one.
        endpoint: Which.
        model: Which.
        version: Whose quality and drift are told; the other versions only count.
        lives: Gives what a version is compared with, where it has a reference.
        policy: How to judge.
        metrics: Which metrics; all of the task's where none is among them.
    """
    live = lives(version)
    mine = seen_blocks(states, version)
    seen = [s for s in states if s.seen]
    notes: list[str] = []
    columns = _columns(mine, live, policy, notes)
    realised, spans = _realised(mine, live, policy, metrics, notes)
    qualities = [s.realised for s in mine if s.realised is not None] if realised else []
    classes, averages, average_spans = detailed(qualities, live)
    estimated, bands = _estimated(mine, live, metrics)
    predictions, errors = sum(s.predictions for s in seen), sum(s.errors for s in seen)
    labelled = sum(s.labelled for s in seen)
    newest = max(s.newest_label for s in seen)
    return WindowReport(
        endpoint=endpoint,
        model=model,
        version=version,
        since=from_micros(min(s.since for s in seen)),
        until=from_micros(max(s.until for s in seen)),
        predictions=predictions,
        errors=errors,
        latency_p50_us=latency(seen, 0.5),
        latency_p99_us=latency(seen, 0.99),
        labelled=labelled,
        coverage=labelled / max(predictions - errors, 1),
        realised=realised,
        intervals=spans,
        estimated=estimated,
        bands=bands,
        reference={} if live is None else live.metrics,
        columns=columns,
        segments=_by_segment(mine, live, metrics) if realised else (),
        versions=versions_of(states, lives, metrics),
        classes=classes,
        averages=averages,
        average_intervals=average_spans,
        notes=tuple(notes),
        newest_label=None if newest < 0 else from_micros(newest),
        represented=sum(s.represented or s.predictions for s in seen),
    )


def versions_of(
    states: Sequence[BlockState], lives: Callable[[int], Live | None], metrics: Sequence[str]
) -> tuple[VersionQuality, ...]:
    """Return the quality of each version in each part that it played, shadows included.

    Args:
        states: Of the blocks of a stretch.
        lives: Gives what a version is compared with.
        metrics: Which metrics; all of the task's where none is among them.
    """
    kinds = sorted({(s.version, s.role) for s in states})
    return tuple(
        _version([s for s in states if (s.version, s.role) == kind], lives(kind[0]), metrics)
        for kind in kinds
    )


def _version(
    states: Sequence[BlockState], live: Live | None, metrics: Sequence[str]
) -> VersionQuality:
    known = [s.realised for s in states if s.realised is not None]
    answered = sum(s.predictions - s.errors for s in states)
    labelled = sum(s.labelled for s in states)
    values, spans = _figures(known, labelled, live, metrics)
    return VersionQuality(
        version=states[0].version,
        role=states[0].role,
        predictions=sum(s.predictions for s in states),
        errors=sum(s.errors for s in states),
        labelled=labelled,
        coverage=labelled / max(answered, 1),
        metrics=values,
        intervals=spans,
        latency_p50_us=latency(states, 0.5),
        latency_p99_us=latency(states, 0.99),
    )


def _figures(
    known: Sequence[Quality], labelled: int, live: Live | None, metrics: Sequence[str]
) -> _Figures:
    whole = total(known)
    if live is None or whole is None or labelled < LEAST_ROWS:
        return {}, {}
    values = _chosen(whole.metrics(live.signature), metrics)
    parts = [(whole - part).metrics(live.signature) for part in known]
    return defined(values), intervals_of(values, parts, tuple(values))


def _by_segment(
    states: Sequence[BlockState], live: Live | None, metrics: Sequence[str]
) -> tuple[SegmentQuality, ...]:
    found = []
    names = list(dict.fromkeys(n for s in states for n in s.segments))
    for segment in names if live is not None else ():
        usual = live.usual_by_segment(segment) if live is not None else {}
        values = sorted({v for s in states for v in s.segments.get(segment, {})})
        for value in values:
            parts = [p for s in states if (p := s.segments.get(segment, {}).get(value))]
            labelled = sum(p.labelled for p in parts)
            if labelled < LEAST_ROWS:
                continue
            known = [p.realised for p in parts if p.realised is not None]
            figures, spans = _figures(known, labelled, live, metrics)
            many = sum(p.predictions for p in parts)
            found.append(
                SegmentQuality(
                    column=segment,
                    value=value,
                    rows=labelled,
                    metrics=figures,
                    intervals=spans,
                    predictions=many,
                    coverage=labelled / many,
                    reference=usual.get(value, {}),
                )
            )
    return tuple(found)


def detailed(
    qualities: Sequence[Quality], live: Live | None
) -> tuple[tuple[ClassQuality, ...], dict[str, float], dict[str, tuple[float, float]]]:
    """Return quality by class, the further figures, and their 95% intervals.

    Args:
        qualities: Of the blocks of a stretch.
        live: The version.
    """
    whole = total(qualities)
    if whole is None or live is None:
        return (), {}, {}
    signature = live.signature
    rest = [whole - part for part in qualities]
    averages = whole.averages(signature)
    spans = intervals_of(averages, [r.averages(signature) for r in rest], tuple(averages))
    if signature.task == "regression":
        return (), defined(averages), spans
    without = [r.by_class(signature) for r in rest]
    classes = tuple(
        ClassQuality(
            label=label,
            labelled=int(values["labelled"]),
            metrics=defined({n: v for n, v in values.items() if n != "labelled"}),
            intervals=intervals_of(
                values, [w[label] for w in without], [n for n in values if n != "labelled"]
            ),
        )
        for label, values in whole.by_class(signature).items()
    )
    return classes, defined(averages), spans


def version_of(states: Sequence[BlockState], wanted: int | None) -> int | None:
    """Return the version to tell of: the one asked for, or the one with the most predictions."""
    counts: dict[int, int] = {}
    for state in states:
        if state.seen:
            counts[state.version] = counts.get(state.version, 0) + state.predictions
    if wanted is not None:
        return wanted if wanted in counts else None
    return max(counts, key=lambda v: (counts[v], v), default=None)


def _columns(
    states: Sequence[BlockState], live: Live | None, policy: MonitorPolicy, notes: list[str]
) -> tuple[ColumnDrift, ...]:
    if live is None:
        notes.append("Drift cannot be judged, because the version has no reference.")
        return ()
    levels = {"q": policy.drift_q, "least_effect": policy.min_effect}
    answered = sum(s.predictions - s.errors for s in states)
    if answered < LEAST_ROWS:
        notes.append(f"Drift cannot be judged, because the window has {answered} rows.")
        return ()
    columns, note = live.drift.compare_counts(counts_of(states, live), **levels)
    said = [s.answers for s in states if s.answers is not None]
    scale = live.answers.scales.get("answer")
    notes += [n for n in (note, live.unwatched) if n]
    if scale is not None and said:
        counts = np.stack(said).astype(np.int64)
        whole = BlockCounts(scale, np.arange(len(said), dtype=np.int64), counts)
        answers, note = live.answers.compare_counts({"answer": whole}, **levels)
        notes += [note.replace("Drift", "Prediction drift", 1)] if note else []
        moved = [a for a in answers if a.drifted]
        notes += [f"The answers moved: {a.reference} → {a.current}." for a in moved]
    return columns


def _realised(
    states: Sequence[BlockState],
    live: Live | None,
    policy: MonitorPolicy,
    metrics: Sequence[str],
    notes: list[str],
) -> _Figures:
    if live is None:
        return {}, {}
    known = [s.realised for s in states if s.realised is not None]
    answered = sum(s.predictions - s.errors for s in states)
    labelled = sum(s.labelled for s in states)
    if not known or labelled < LEAST_ROWS:
        notes.append(
            f"Quality cannot be judged, because {labelled} predictions of the window are labelled."
        )
        return {}, {}
    if labelled / answered < policy.min_label_coverage:
        notes.append(
            f"Quality cannot be judged, because {labelled / answered:.0%} of the predictions are "
            f"labelled and {policy.min_label_coverage:.0%} are asked for."
        )
        return {}, {}
    return _figures(known, labelled, live, metrics)


def _estimated(states: Sequence[BlockState], live: Live | None, metrics: Sequence[str]) -> _Figures:
    known: list[Quality] = [s.expected for s in states if s.expected is not None]
    whole = total(known)
    rows = sum(s.predictions - s.errors for s in states)
    if live is None or whole is None or rows < LEAST_ROWS:
        return {}, {}
    values = defined(_chosen(whole.metrics(live.signature), metrics))
    values.pop("calibration_error", None)
    return values, live.bands(values, rows)


def _chosen(values: dict[str, float], metrics: Sequence[str]) -> dict[str, float]:
    return {k: v for k, v in values.items() if k in metrics} or values
