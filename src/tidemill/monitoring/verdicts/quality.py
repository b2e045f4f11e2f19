"""The verdict on quality that came true: whether it fell, since when, why, and where most."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import from_micros
from tidemill.core.tasks import improvement
from tidemill.monitoring.attribution import attributions
from tidemill.monitoring.cause import explain
from tidemill.monitoring.live import features_of
from tidemill.monitoring.onset import onset
from tidemill.monitoring.performance import losses_of
from tidemill.monitoring.records import Attribution, Explanation, Finding, SegmentQuality
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.wording import day, explanation_of, hardest_of, went, worth_telling

Floats = NDArray[np.float64]


def fell(evidence: Evidence) -> bool:
    """Whether the watched metric is worse than it was, by more than chance and policy allow."""
    report, watched = evidence.report, evidence.watched
    span = report.intervals.get(watched)
    if watched not in report.realised or watched not in report.reference or span is None:
        return False
    fall = -improvement(watched, report.realised[watched], report.reference[watched])
    return fall >= max(evidence.policy.performance_drop, _noise(evidence, watched, span))


def performance(
    evidence: Evidence, explanation: Explanation | None, influence: Sequence[Attribution]
) -> Finding | None:
    """Say that quality fell.

    Args:
        evidence: The window.
        explanation: What the change is made of; nothing where quality did not fall.
        influence: How much the answers hang on each column.
    """
    if explanation is None:
        return None
    report, watched = evidence.report, evidence.watched
    value, usual, span = (
        report.realised[watched],
        report.reference[watched],
        report.intervals[watched],
    )
    began = _onset(evidence)
    when = f"in {evidence.stretch}" if began is None else f"since {day(from_micros(began))}"
    telling = worth_telling(explanation)
    return evidence.finding(
        "performance",
        "critical",
        f"{watched} {went(watched)} {usual:.3f} → {value:.3f} {when}"
        f"{explanation_of(explanation, telling)}{hardest_of(_hardest(evidence), watched)}.",
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


def explanation_for(evidence: Evidence) -> Explanation:
    """Ask what the change is made of: the columns that moved first, then the others."""
    report, live = evidence.report, evidence.live
    ranked = sorted(report.columns, key=lambda c: (not c.drifted, -c.effect))
    return explain(
        features_of(live.holdout),
        features_of(evidence.labelled),
        [c.column for c in ranked],
        metric=evidence.watched,
        measure=live.measure(evidence.watched),
        realised=report.realised[evidence.watched],
    )


def attributions_for(evidence: Evidence) -> tuple[Attribution, ...]:
    """Ask the twin how much its answers hang on each column, now and on the held-out rows."""
    live = evidence.live
    answer = live.answer
    if answer is None:
        return ()
    names = [c.name for c in live.signature.features]
    return attributions(answer, features_of(live.holdout), features_of(evidence.mine), names)


def _onset(evidence: Evidence) -> int | None:
    """Return when the loss began to be larger, by blocks; held-out blocks come first."""
    live = evidence.live
    usual = _by_block(live.losses, live.holdout["block"])
    before = [s for s in evidence.judge.recent if s.realised is not None]
    here = _by_block(losses_of(live.signature, evidence.labelled), evidence.labelled["block"])
    place = 1 if live.signature.task == "regression" else 0
    sums = [(s.realised.sums[place], s.realised.many) for s in before if s.realised is not None]
    values = [*usual.means, *(total / many for total, many in sums), *here.means]
    weights = [*usual.rows, *(many for _, many in sums), *here.rows]
    length = int(evidence.policy.block * 1e6)
    begins = [*(s.since for s in before), *(b * length for b in here.blocks)]
    found = onset(np.array(values), np.array(weights), len(usual.blocks))
    return None if found is None else begins[max(found - len(usual.blocks), 0)]


def _hardest(evidence: Evidence) -> SegmentQuality | None:
    """Return the segment whose quality fell most, as far as that is sure."""
    watched = evidence.watched
    known = [
        (_sure_fall(evidence, s), s)
        for s in evidence.report.segments
        if watched in s.metrics and watched in s.reference
    ]
    if len(known) < 2:
        return None
    fall, worst = max(known, key=lambda k: k[0])
    return worst if fall > 0 else None


def _sure_fall(evidence: Evidence, segment: SegmentQuality) -> float:
    value = segment.metrics[evidence.watched]
    low, high = segment.intervals.get(evidence.watched, (value, value))
    fall = -improvement(evidence.watched, value, segment.reference[evidence.watched])
    return fall - (high - low) / 2


def _noise(evidence: Evidence, metric: str, span: tuple[float, float]) -> float:
    """Return how much chance makes of a metric: the window's part, and the reference's."""
    return float(np.hypot((span[1] - span[0]) / 2, evidence.live.noise(metric)))


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
