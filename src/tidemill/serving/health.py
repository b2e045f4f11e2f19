"""Whether a candidate fails, or is slow: judged from counts alone, within seconds.

Two questions are asked of each, and both must be answered with yes: is it above what the policy
allows, and is it worse than the champion in the same minutes? A machine that is overloaded makes
both slow, and rolling back would not help.
"""

from __future__ import annotations

from bisect import bisect_left

from tidemill.core.policy import RolloutPolicy
from tidemill.serving.evidence import Evidence, StepCounts
from tidemill.serving.sequential import exceeds, oftener
from tidemill.serving.worker.metrics import BUCKETS

EDGES_MS = tuple(1000 * edge for edge in BUCKETS)
"""Edges of the counts of latency, in milliseconds."""
SLOWEST_SHARE = 0.01
"""Latency is judged by its 99th percentile: one of a hundred requests may be slower."""
LEAST_MORE_MS = 5.0
"""So much more than the champion's usual latency never counts."""
BUDGET = 0.25
"""The part of the error rate that each of errors, latency, quality and shift may spend."""


def unhealthy(evidence: Evidence, policy: RolloutPolicy) -> tuple[str, str]:
    """Return what is wrong, as a code and a sentence; two empty texts where nothing is."""
    wrong = _failing(evidence, policy)
    if wrong:
        return "errors", wrong
    wrong = _slow(evidence, policy)
    return ("latency", wrong) if wrong else ("", "")


def health_numbers(evidence: Evidence, policy: RolloutPolicy) -> dict[str, float]:
    """Return the figures behind a judgement of health."""
    candidate, champion = evidence.candidate, evidence.champion
    numbers = {"requests": float(candidate.requests), "errors": float(candidate.errors)}
    numbers["champion_requests"] = float(champion.requests)
    if candidate.requests:
        numbers["error_rate"] = candidate.errors / candidate.requests
    if champion.requests:
        numbers["champion_error_rate"] = champion.errors / champion.requests
    for edge in _edges(evidence, policy)[:1]:
        numbers["slow_ms"] = EDGES_MS[edge]
        numbers["slow_share"] = candidate.slower(edge) / max(candidate.requests, 1)
        numbers["champion_slow_share"] = champion.slower(edge) / max(champion.requests, 1)
    return numbers


def _failing(evidence: Evidence, policy: RolloutPolicy) -> str:
    candidate, champion = evidence.candidate, evidence.champion
    needed = 1 / (BUDGET * (1 - policy.confidence))
    if exceeds(candidate.errors, candidate.requests, policy.max_error_rate) < needed:
        return ""
    worse = 1.0
    for step in evidence.steps:
        worse *= oftener(step.candidate.errors, step.champion.errors, _share(step))
    if worse < needed:
        return ""
    share = candidate.errors / candidate.requests
    theirs = champion.errors / max(champion.requests, 1)
    return (
        f"{candidate.errors:,} of the candidate's {candidate.requests:,} requests failed "
        f"({share:.1%}; the champion's {theirs:.1%}); at most {100 * policy.max_error_rate:g}% may."
    )


def _slow(evidence: Evidence, policy: RolloutPolicy) -> str:
    edges = _edges(evidence, policy)
    for edge in edges:
        needed = len(edges) / (BUDGET * (1 - policy.confidence))
        candidate, champion = evidence.candidate, evidence.champion
        slow = candidate.slower(edge)
        if exceeds(slow, candidate.requests, SLOWEST_SHARE) < needed:
            continue
        worse = 1.0
        for step in evidence.steps:
            worse *= oftener(step.candidate.slower(edge), step.champion.slower(edge), _share(step))
        if worse < needed:
            continue
        theirs = champion.slower(edge) / max(champion.requests, 1)
        return (
            f"{slow:,} of the candidate's {candidate.requests:,} requests took over "
            f"{EDGES_MS[edge]:g} ms ({slow / candidate.requests:.1%}; the champion's "
            f"{theirs:.1%}); at most {SLOWEST_SHARE:.0%} may."
        )
    return ""


def _edges(evidence: Evidence, policy: RolloutPolicy) -> list[int]:
    """Return the edges that latency is held against: the budget's, and the champion's.

    Counts know edges only, so each limit is taken at the next edge above it.
    """
    limits = []
    if policy.max_latency_ms is not None:
        limits.append(policy.max_latency_ms)
    if policy.max_latency_ratio is not None and evidence.usual_ms is not None:
        usual = evidence.usual_ms
        limits.append(max(policy.max_latency_ratio * usual, usual + LEAST_MORE_MS))
    found = {bisect_left(EDGES_MS, limit) for limit in limits}
    return sorted(edge for edge in found if edge < len(EDGES_MS))


def _share(step: StepCounts) -> float:
    """Return the candidate's share of a step's traffic; testers who ask for it raise it."""
    total = step.candidate.requests + step.champion.requests
    seen = step.candidate.requests / total if total else 0.0
    return max(step.percent / 100, seen)
