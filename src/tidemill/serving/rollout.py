"""What is to become of a rollout: a pure function of the evidence.

Health is judged at once, and quality as soon as labels say enough. Both tests hold at every look:
however often the evidence is asked, the chance of ever rolling back a candidate that is as good as
the champion, and as healthy as the policy asks, is at most 1 - `confidence`; half of it is spent
on health and half on quality.
"""

from __future__ import annotations

import math
from datetime import datetime

from tidemill.core.policy import RolloutPolicy
from tidemill.serving.records import Evidence, Rollout, Verdict
from tidemill.serving.sequential import Interval, difference, exceeds


def judge(evidence: Evidence, rollout: Rollout, now: datetime) -> Verdict:
    """Say what is to become of a rollout.

    Args:
        evidence: How candidate and champion fared since it began.
        rollout: How it stands.
        now: The present moment.

    Example:
        >>> from datetime import UTC, timedelta
        >>> from tidemill.serving.records import Target
        >>> old, new = (Target(model="m", version=v, bundle="b") for v in (1, 2))
        >>> monday = datetime(2013, 3, 4, tzinfo=UTC)
        >>> rollout = Rollout(id="r", endpoint="m", candidate=new, champion=old, step=0,
        ...                   policy=RolloutPolicy(), status="running", started=monday,
        ...                   step_started=monday, reason="passed its gate")
        >>> broken = Evidence(predictions=40, errors=9)
        >>> print(judge(broken, rollout, monday + timedelta(minutes=1)).reason)
        9 of the candidate's 40 requests failed (22.5%); at most 2% may.
        >>> healthy = Evidence(predictions=120, errors=1)
        >>> judge(healthy, rollout, monday + timedelta(hours=2)).action
        'advance'
    """
    policy = rollout.policy
    quality = _quality(evidence, policy)
    numbers = _numbers(evidence, quality)
    harm = _unhealthy(evidence, policy) or _worse(quality, policy)
    if harm:
        return Verdict(action="rollback", reason=harm, numbers=numbers)
    waited = (now - rollout.step_started).total_seconds()
    if waited < policy.step_duration:
        left = policy.step_duration - waited
        return _hold(f"The step is watched for another {left / 3600:.1f} hours.", numbers)
    last = rollout.step + 1 >= len(policy.steps) or policy.steps[rollout.step + 1] >= 100
    missing = _missing(evidence, policy, quality, last=last)
    if missing:
        return _at_the_deadline(missing, policy, waited, numbers)
    said = _healthy(evidence, rollout, quality)
    return Verdict(action="promote" if last else "advance", reason=said, numbers=numbers)


def _quality(evidence: Evidence, policy: RolloutPolicy) -> Interval | None:
    """Return by how much the candidate's mean loss is larger, where labels say anything yet."""
    confidence = 1 - (1 - policy.confidence) / 2
    found = difference(evidence.losses, evidence.champion_losses, confidence=confidence)
    return None if math.isinf(found.high) else found


def _unhealthy(evidence: Evidence, policy: RolloutPolicy) -> str:
    allowed = min(max(policy.max_error_rate, 1e-9), 1 - 1e-9)
    proof = exceeds(evidence.errors, evidence.predictions, allowed)
    if proof < 2 / (1 - policy.confidence):
        return ""
    share = evidence.errors / evidence.predictions
    return (
        f"{evidence.errors:,} of the candidate's {evidence.predictions:,} requests failed "
        f"({share:.1%}); at most {100 * policy.max_error_rate:g}% may."
    )


def _worse(quality: Interval | None, policy: RolloutPolicy) -> str:
    if quality is None or quality.low <= 0:
        return ""
    return (
        f"The candidate's loss is larger by {quality.estimate:.4f}, by {quality.low:.4f} at least "
        f"({policy.confidence:.0%}, valid at every look)."
    )


def _missing(
    evidence: Evidence, policy: RolloutPolicy, quality: Interval | None, *, last: bool
) -> str:
    """Say what the next step still needs, or nothing."""
    if evidence.predictions < policy.min_requests:
        return (
            f"The candidate has answered {evidence.predictions:,} predictions; "
            f"{policy.min_requests:,} are asked for."
        )
    if not last or policy.tolerance is None:
        return ""
    if quality is None:
        return f"{len(evidence.losses):,} labels are too few to show that it is no worse."
    if quality.high > policy.tolerance:
        return (
            f"The loss may still be larger by {quality.high:.4f}; at most {policy.tolerance:g} "
            "must be shown."
        )
    return ""


def _at_the_deadline(
    missing: str, policy: RolloutPolicy, waited: float, numbers: dict[str, float]
) -> Verdict:
    if waited < policy.deadline or policy.on_deadline == "wait":
        return _hold(missing, numbers)
    late = f"{missing} The deadline has passed, and the policy says {policy.on_deadline}."
    return Verdict(action=policy.on_deadline, reason=late, numbers=numbers)


def _healthy(evidence: Evidence, rollout: Rollout, quality: Interval | None) -> str:
    share = f"{rollout.percent:g}% of the traffic"
    if quality is None:
        return f"Healthy at {share}: {evidence.predictions:,} predictions, no error too many."
    return (
        f"Healthy at {share}, and no sign of harm: the loss differs by "
        f"{quality.estimate:+.4f} ({quality.low:+.4f} to {quality.high:+.4f})."
    )


def _numbers(evidence: Evidence, quality: Interval | None) -> dict[str, float]:
    numbers = {
        "predictions": float(evidence.predictions),
        "errors": float(evidence.errors),
        "labels": float(len(evidence.losses)),
    }
    if evidence.predictions:
        numbers["error_rate"] = evidence.errors / evidence.predictions
    if quality is not None:
        numbers["loss_difference"] = quality.estimate
        numbers |= {"low": quality.low, "high": quality.high}
    return numbers


def _hold(reason: str, numbers: dict[str, float]) -> Verdict:
    return Verdict(action="hold", reason=reason, numbers=numbers)
