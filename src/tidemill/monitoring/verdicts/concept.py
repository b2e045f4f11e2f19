"""The verdict on the relation of features and label: whether it changed."""

from __future__ import annotations

import numpy as np

from tidemill.core.clock import from_micros
from tidemill.monitoring.concept import excess, first_change
from tidemill.monitoring.detectors import witnesses
from tidemill.monitoring.performance import errors_of, losses_of
from tidemill.monitoring.records import Finding
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.wording import day

LEAST_EXCESS = 0.05
"""The least part of the expected loss by which it must be exceeded to count as concept drift."""
CONCEPT_LEVEL = 0.01


def changed_relation(evidence: Evidence) -> Finding | None:
    """Say that the loss is larger than the inputs lead one to expect."""
    if not evidence.report.realised:
        return None
    live = evidence.live
    ordered = evidence.labelled.sort("arrived", "id")
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
    return evidence.finding(
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
