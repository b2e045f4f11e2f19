"""What is to become of a rollout: a pure function of the evidence.

Health is judged at once, the distribution of answers as soon as there are enough, and quality as
soon as labels say enough. Every test holds at every look: however often the evidence is asked, the
chance of ever rolling back a candidate that is as good as the champion, as healthy as the policy
asks, and answers as alike as it asks, is at most 1 - `confidence`. Errors, latency, quality and
shift may spend a quarter of it each.
"""

from __future__ import annotations

from datetime import datetime

from tidemill.core.policy import RolloutPolicy
from tidemill.serving.evidence import Code, Division, Evidence, Verdict
from tidemill.serving.health import BUDGET, health_numbers, unhealthy
from tidemill.serving.records import Rollout
from tidemill.serving.sequential import Interval, difference

_CODES: dict[str, Code] = {"errors": "errors", "latency": "latency"}


def judge(evidence: Evidence, rollout: Rollout, now: datetime) -> Verdict:
    """Say what is to become of a rollout.

    Args:
        evidence: How candidate and champion fared since it began.
        rollout: How it stands.
        now: The present moment.

    Example:
        >>> from datetime import UTC, timedelta
        >>> from tidemill.serving.evidence import Counts, StepCounts
        >>> from tidemill.serving.records import Target
        >>> old, new = (Target(model="m", version=v, bundle="b") for v in (1, 2))
        >>> monday = datetime(2013, 3, 4, tzinfo=UTC)
        >>> rollout = Rollout(id="r", endpoint="m", candidate=new, champion=old, step=0,
        ...                   policy=RolloutPolicy(), status="running", started=monday,
        ...                   step_started=monday, reason="passed its gate")
        >>> def seen(requests: int, errors: int) -> Evidence:
        ...     mine, theirs = Counts(requests=requests, errors=errors), Counts(requests=800)
        ...     return Evidence(steps=(StepCounts(percent=5, candidate=mine, champion=theirs),))
        >>> print(judge(seen(40, 9), rollout, monday + timedelta(minutes=1)).reason)
        9 of the candidate's 40 requests failed (22.5%; the champion's 0.0%); at most 2% may.
        >>> judge(seen(120, 1), rollout, monday + timedelta(hours=2)).action
        'advance'
    """
    policy = rollout.policy
    quality = _quality(evidence, policy)
    shift = largest_shift(evidence.divisions, policy)
    findings = tuple(filter(None, (_shifted(shift, policy), _told(quality))))
    numbers = _numbers(evidence, policy, quality, shift)

    def verdict(action: str, code: Code, reason: str) -> Verdict:
        return Verdict(
            action=action,  # type: ignore[arg-type]
            code=code,
            reason=reason,
            findings=findings,
            numbers=numbers,
        )

    code, harm = unhealthy(evidence, policy)
    if harm:
        return verdict("rollback", _CODES[code], harm)
    if worse := _worse(quality, policy):
        return verdict("rollback", "quality", worse)
    moved = _shifted(shift, policy)
    if moved and policy.on_shift == "rollback":
        return verdict("rollback", "shift", moved)
    waited = (now - rollout.step_started).total_seconds()
    if waited < policy.step_duration:
        left = policy.step_duration - waited
        return verdict("hold", "watching", f"The step is watched for another {_spelled(left)}.")
    last = rollout.step + 1 >= len(policy.steps) or policy.steps[rollout.step + 1] >= 100
    missing, what = _missing(evidence, policy, quality, moved, last=last)
    if missing and (waited < policy.deadline or policy.on_deadline == "wait"):
        return verdict("hold", what, missing)
    if missing:
        late = f"{missing} The deadline has passed, and the policy says {policy.on_deadline}."
        return verdict(policy.on_deadline, "deadline", late)
    said = _healthy(evidence, rollout, quality)
    return verdict("promote" if last else "advance", "healthy", said)


def judge_health(evidence: Evidence, rollout: Rollout) -> Verdict | None:
    """Say whether a candidate must go at once; nothing where its counts do not say so."""
    code, harm = unhealthy(evidence, rollout.policy)
    if not harm:
        return None
    numbers = health_numbers(evidence, rollout.policy)
    return Verdict(action="rollback", code=_CODES[code], reason=harm, numbers=numbers)


def largest_shift(
    divisions: tuple[Division, ...], policy: RolloutPolicy
) -> tuple[Division, Interval] | None:
    """Return the division of answers that differs most surely, with its interval.

    The two-sample Kolmogorov-Smirnov distance on a grid that was fixed before the rollout: one
    interval of `difference` for each division, the error rate shared out among them (Bonferroni),
    so that all of them hold at every look at once.

    Example:
        >>> import numpy as np
        >>> from tidemill.serving.evidence import Units
        >>> ones = np.ones(2000)
        >>> often, seldom = Units(np.repeat([1.0, 0.0], 1000), ones), Units(0 * ones, ones)
        >>> above = Division(name="scores above 0.5", candidate=often, champion=seldom)
        >>> found = largest_shift((above,), RolloutPolicy(max_shift=0.1))
        >>> found[0].name, round(found[1].low, 2)
        ('scores above 0.5', 0.46)
    """
    if policy.max_shift is None or not divisions:
        return None
    confidence = 1 - BUDGET * (1 - policy.confidence) / len(divisions)
    found = [(d, difference(d.candidate, d.champion, confidence=confidence)) for d in divisions]
    bounded = [pair for pair in found if not pair[1].unbounded]
    return max(bounded, key=lambda pair: _least(pair[1])) if bounded else None


def _least(interval: Interval) -> float:
    """Return the least distance from zero that an interval allows, below zero where it holds it."""
    return max(interval.low, -interval.high)


def _shifted(shift: tuple[Division, Interval] | None, policy: RolloutPolicy) -> str:
    if shift is None or policy.max_shift is None or _least(shift[1]) <= policy.max_shift:
        return ""
    division, found = shift
    more = "more" if found.estimate > 0 else "less"
    return (
        f"The candidate's answers are distributed otherwise: {division.name} are {more} frequent "
        f"by {abs(found.estimate):.1%}, by {_least(found):.1%} at least; "
        f"{policy.max_shift:.1%} is allowed."
    )


def _quality(evidence: Evidence, policy: RolloutPolicy) -> Interval | None:
    """Return by how much the candidate's mean loss is larger, where labels say anything yet."""
    if evidence.losses is None or evidence.champion_losses is None:
        return None
    confidence = 1 - BUDGET * (1 - policy.confidence)
    found = difference(evidence.losses, evidence.champion_losses, confidence=confidence)
    return None if found.unbounded else found


def _worse(quality: Interval | None, policy: RolloutPolicy) -> str:
    if quality is None or quality.low <= 0:
        return ""
    return (
        f"The candidate's loss is larger by {quality.estimate:.4f}, by {quality.low:.4f} at least "
        f"({policy.confidence:.0%}, valid at every look)."
    )


def _told(quality: Interval | None) -> str:
    if quality is None or quality.high >= 0:
        return ""
    return f"The candidate's loss is smaller, by {-quality.high:.4f} at least."


def _missing(
    evidence: Evidence, policy: RolloutPolicy, quality: Interval | None, moved: str, *, last: bool
) -> tuple[str, Code]:
    """Say what the next step still needs, or nothing."""
    asked = evidence.candidate.requests
    if asked < policy.min_requests:
        said = (
            f"The candidate has answered {asked:,} requests; {policy.min_requests:,} are asked for."
        )
        return said, "requests"
    if moved and policy.on_shift == "hold":
        return moved, "shift"
    if not last or policy.tolerance is None:
        return "", "healthy"
    if quality is None:
        labels = 0 if evidence.losses is None else evidence.losses.rows
        return f"{labels:,} labels are too few to show that it is no worse.", "labels"
    if quality.high > policy.tolerance:
        said = (
            f"The loss may still be larger by {quality.high:.4f}; at most {policy.tolerance:g} "
            "must be shown."
        )
        return said, "unproven"
    return "", "healthy"


def _healthy(evidence: Evidence, rollout: Rollout, quality: Interval | None) -> str:
    share = f"{rollout.percent:g}% of the traffic"
    if quality is None:
        asked = evidence.candidate.requests
        labels = 0 if evidence.losses is None else evidence.losses.rows
        few = f"; {labels:,} labels are too few to compare the losses" if labels else ""
        return f"Healthy at {share}: {asked:,} requests, no error too many{few}."
    return (
        f"Healthy at {share}, and no sign of harm: the loss differs by "
        f"{quality.estimate:+.4f} ({quality.low:+.4f} to {quality.high:+.4f})."
    )


def _numbers(
    evidence: Evidence,
    policy: RolloutPolicy,
    quality: Interval | None,
    shift: tuple[Division, Interval] | None,
) -> dict[str, float]:
    numbers = health_numbers(evidence, policy)
    if evidence.losses is not None:
        numbers |= {"labels": evidence.losses.rows, "units": evidence.losses.count}
    if quality is not None:
        numbers["loss_difference"] = quality.estimate
        numbers |= {"low": quality.low, "high": quality.high}
    if shift is not None:
        numbers |= {"shift": shift[1].estimate, "shift_at_least": max(_least(shift[1]), 0.0)}
    return numbers


def _spelled(seconds: float) -> str:
    """Return a duration for people.

    Example:
        >>> _spelled(20), _spelled(600), _spelled(7200)
        ('20 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
