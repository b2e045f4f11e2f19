"""What is to become of a rollout: a pure function of the evidence.

Health is judged at once. Quality is judged by a confidence sequence, which holds at every look:
however often the evidence is asked, the chance of ever rolling back a candidate that is not worse
stays below what the policy allows.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.serving.records import Evidence, Rollout, Verdict

Floats = NDArray[np.float64]
LEAST_REQUESTS = 20
LEAST_LABELS = 50
_TUNED_FOR = 500.0
"""The number of labels at which the confidence sequence is tightest."""


def judge(evidence: Evidence, rollout: Rollout, now: datetime) -> Verdict:
    """Say what is to become of a rollout.

    Args:
        evidence: How candidate and champion fared since it began.
        rollout: How it stands.
        now: The present moment.
    """
    policy = rollout.policy
    numbers = {
        "predictions": float(evidence.predictions),
        "errors": float(evidence.errors),
        "labels": float(len(evidence.losses)),
    }
    rate = evidence.errors / evidence.predictions if evidence.predictions else 0.0
    if evidence.predictions >= LEAST_REQUESTS and rate > policy.max_error_rate:
        said = (
            f"{rate:.1%} of the candidate's requests failed; at most {policy.max_error_rate:.1%} "
            "may."
        )
        return Verdict(action="rollback", reason=said, numbers=numbers | {"error_rate": rate})
    difference = _difference(evidence, 1 - policy.confidence)
    if difference is not None:
        mean, low, high = difference
        numbers |= {"loss_difference": mean, "low": low, "high": high}
        if low > 0:
            said = (
                f"The candidate's loss is larger by {mean:.4f}, by {low:.4f} at least "
                f"({policy.confidence:.0%}, valid at every look)."
            )
            return Verdict(action="rollback", reason=said, numbers=numbers)
    waited = (now - rollout.step_started).total_seconds()
    if waited < policy.step_duration:
        left = policy.step_duration - waited
        return _hold(f"The step is watched for another {left / 3600:.1f} hours.", numbers)
    if evidence.predictions < policy.min_requests:
        return _short(rollout, waited, numbers)
    share = f"{rollout.percent:g}% of the traffic"
    if difference is None:
        said = f"Healthy at {share}: {evidence.predictions:,} predictions, no error too many."
    else:
        said = (
            f"Healthy at {share}, and no sign of harm: the loss differs by "
            f"{difference[0]:+.4f} ({difference[1]:+.4f} to {difference[2]:+.4f})."
        )
    last = rollout.step + 1 >= len(policy.steps) or policy.steps[rollout.step + 1] >= 100
    return Verdict(action="promote" if last else "advance", reason=said, numbers=numbers)


def confidence_sequence(values: Floats, alpha: float) -> tuple[float, float]:
    """Return an interval for the mean that holds at every look at once.

    Args:
        values: The observations so far, shape (n,).
        alpha: The chance that it ever misses the mean.

    Reference: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory
    and asymptotic confidence sequences, Annals of Statistics 52, 2024, theorem 2.2; Robbins' normal
    mixture.

    Example:
        >>> calm = np.random.default_rng(0).normal(0.0, 1.0, 2000)
        >>> low, high = confidence_sequence(calm, 0.05)
        >>> low < 0.0 < high
        True
        >>> confidence_sequence(calm + 0.5, 0.05)[0] > 0.0
        True
    """
    count = len(values)
    mean, deviation = float(values.mean()), float(values.std())
    tuning = _tuning(alpha)
    inner = count * tuning**2 + 1
    width = deviation * math.sqrt(
        2 * inner / (count**2 * tuning**2) * math.log(math.sqrt(inner) / alpha)
    )
    return mean - width, mean + width


def _tuning(alpha: float) -> float:
    """Return the mixture's parameter that makes the sequence tightest at `_TUNED_FOR`."""
    inside = -2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)
    return math.sqrt(inside / _TUNED_FOR)


def _difference(evidence: Evidence, alpha: float) -> tuple[float, float, float] | None:
    """Return by how much the candidate's mean loss is larger, with an interval for it.

    The two are on different rows; so each gets a sequence of its own at half the error.
    """
    ours, theirs = np.array(evidence.losses), np.array(evidence.champion_losses)
    if len(ours) < LEAST_LABELS or len(theirs) < LEAST_LABELS:
        return None
    first, second = confidence_sequence(ours, alpha / 2), confidence_sequence(theirs, alpha / 2)
    mean = float(ours.mean() - theirs.mean())
    return mean, first[0] - second[1], first[1] - second[0]


def _short(rollout: Rollout, waited: float, numbers: dict[str, Any]) -> Verdict:
    policy = rollout.policy
    said = (
        f"The candidate has answered {numbers['predictions']:.0f} predictions; "
        f"{policy.min_requests} are asked for."
    )
    if waited < policy.deadline or policy.on_deadline == "wait":
        return _hold(said, numbers)
    late = f"{said} The deadline has passed, and the policy says {policy.on_deadline}."
    return Verdict(action=policy.on_deadline, reason=late, numbers=numbers)


def _hold(reason: str, numbers: dict[str, float]) -> Verdict:
    return Verdict(action="hold", reason=reason, numbers=numbers)
