"""Gathers the evidence of a rollout: from the monitor's rows, and from the workers' own counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidemill.monitoring.arms import Arms
from tidemill.monitoring.tally import Arm, Cut, Plan
from tidemill.serving.counters import Counter
from tidemill.serving.evidence import Counts, Division, Evidence, StepCounts
from tidemill.serving.health import EDGES_MS
from tidemill.serving.records import Rollout

_REMEMBERED = 20


class Gathering:
    """Gathers evidence.

    Args:
        arms: How versions fared, in sums.
    """

    def __init__(self, arms: Arms) -> None:
        self._arms = arms
        self._plans: dict[str, Plan] = {}

    def evidence(self, rollout: Rollout) -> Evidence:
        """Return everything that is known of a rollout."""
        plan = self._plan(rollout)
        candidate, champion = (
            self._arms.read(
                account,
                rollout.endpoint,
                target.model,
                target.version,
                plan=plan,
                steps=rollout.steps_started or (rollout.started,),
            )
            for account, target in zip(
                _accounts(rollout.id), (rollout.candidate, rollout.champion), strict=True
            )
        )
        return Evidence(
            steps=_steps(rollout, candidate, champion),
            usual_ms=plan.usual_ms,
            losses=candidate.losses if candidate.losses.count else None,
            champion_losses=champion.losses if champion.losses.count else None,
            divisions=tuple(
                Division(name=cut.name, candidate=mine, champion=theirs)
                for cut, mine, theirs in zip(
                    plan.cuts, candidate.shares, champion.shares, strict=True
                )
            ),
        )

    def counts(self, rollout: Rollout, steps: tuple[StepCounts, ...]) -> Evidence:
        """Return what the workers' own counts say of a rollout's health."""
        return Evidence(steps=steps, usual_ms=self._plan(rollout).usual_ms)

    def close_others(self, rollouts: Iterable[Rollout]) -> None:
        """Let go of what was kept of all rollouts but some."""
        self._arms.close_others([name for r in rollouts for name in _accounts(r.id)])

    def _plan(self, rollout: Rollout) -> Plan:
        """Return what was fixed before the rollout began; told by what came before, and kept."""
        if rollout.id not in self._plans:
            plan = self._arms.plan(_accounts(rollout.id)[0])
            if plan is None or plan.edges_ms != EDGES_MS:
                plan = self._made(rollout)
            rest = [(k, v) for k, v in self._plans.items() if k != rollout.id]
            self._plans = {rollout.id: plan} | dict(rest[:_REMEMBERED])
        return self._plans[rollout.id]

    def _made(self, rollout: Rollout) -> Plan:
        endpoint, champion, before = rollout.endpoint, rollout.champion, rollout.started
        cuts: list[Cut] = []
        if rollout.policy.max_shift is not None:
            cuts = self._arms.cuts(endpoint, champion.model, champion.version, before=before)
        return Plan(
            edges_ms=EDGES_MS,
            cuts=tuple(cuts),
            metric=rollout.policy.metric,
            usual_ms=self._arms.usual_latency(endpoint, champion.version, before=before),
        )


class Watched:
    """What the workers counted since rollouts began, step by step.

    Workers count from their own start, so that a count that falls is a worker that was started
    again: what it has counted since then is new.
    """

    def __init__(self) -> None:
        self._last: dict[Counter, Counts] = {}
        self._steps: dict[str, list[StepCounts]] = {}

    def take(self, counters: Mapping[Counter, Counts], rollouts: list[Rollout]) -> None:
        """Take in what the workers have counted by now."""
        first = not self._last
        new = {} if first else {k: _since(self._last.get(k), v) for k, v in counters.items()}
        self._last = dict(counters)
        self._steps = {r.id: self._steps.get(r.id, []) for r in rollouts}
        for rollout in rollouts:
            steps = self._steps[rollout.id]
            while len(steps) <= rollout.step:
                steps.append(StepCounts(percent=rollout.policy.steps[len(steps)]))
            candidate = Counter(rollout.endpoint, rollout.candidate.version, "canary")
            champion = Counter(rollout.endpoint, rollout.champion.version, "champion")
            steps[rollout.step] = StepCounts(
                percent=rollout.percent,
                candidate=steps[-1].candidate.joined(new.get(candidate, Counts())),
                champion=steps[-1].champion.joined(new.get(champion, Counts())),
            )

    def steps(self, rollout: Rollout) -> tuple[StepCounts, ...]:
        """Return a rollout's counts, step by step."""
        return tuple(self._steps.get(rollout.id, ()))


def _accounts(rollout: str) -> tuple[str, str]:
    """Return what is kept of a rollout's candidate and champion, by name."""
    return f"{rollout}/candidate", f"{rollout}/champion"


def _steps(rollout: Rollout, candidate: Arm, champion: Arm) -> tuple[StepCounts, ...]:
    pairs = zip(rollout.policy.steps, candidate.steps, strict=False)
    return tuple(
        StepCounts(
            percent=percent, candidate=_asked(candidate, step), champion=_asked(champion, step)
        )
        for step, (percent, _) in enumerate(pairs)
    )


def _asked(arm: Arm, step: int) -> Counts:
    """Return the requests of a step; there are none of one in which nothing was asked."""
    if step >= len(arm.requests):
        return Counts()
    found = arm.requests[step]
    return Counts(requests=found.count, errors=found.errors, latencies=found.latencies)


def _since(before: Counts | None, now: Counts) -> Counts:
    if before is None or now.requests < before.requests or now.errors < before.errors:
        return now
    pairs = zip(now.latencies, before.latencies or (0,) * len(now.latencies), strict=True)
    return Counts(
        requests=now.requests - before.requests,
        errors=now.errors - before.errors,
        latencies=tuple(max(a - b, 0) for a, b in pairs),
    )
