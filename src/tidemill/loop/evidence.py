"""Gathers the evidence of a rollout: from the monitor's rows, and from the workers' own counts."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.monitoring.arms import Arm, Arms, Cut, Sums
from tidemill.serving.counters import Counter
from tidemill.serving.evidence import Counts, Division, Evidence, StepCounts, Units
from tidemill.serving.health import counted
from tidemill.serving.records import Rollout


class Gathering:
    """Gathers evidence.

    Args:
        arms: How versions fared, row by row.
    """

    def __init__(self, arms: Arms) -> None:
        self._arms = arms
        self._known: dict[str, tuple[float | None, list[Cut]]] = {}

    def evidence(self, rollout: Rollout) -> Evidence:
        """Return everything that is known of a rollout."""
        usual, cuts = self._fixed(rollout)
        candidate, champion = (
            self._arms.read(
                rollout.endpoint,
                target.model,
                target.version,
                steps=rollout.steps_started or (rollout.started,),
                cuts=cuts,
                metric=rollout.policy.metric,
            )
            for target in (rollout.candidate, rollout.champion)
        )
        return Evidence(
            steps=_steps(rollout, candidate, champion),
            usual_ms=usual,
            losses=_units(candidate.losses),
            champion_losses=_units(champion.losses),
            divisions=tuple(
                Division(name=cut.name, candidate=_sure(mine), champion=_sure(theirs))
                for cut, mine, theirs in zip(cuts, candidate.shares, champion.shares, strict=True)
            ),
        )

    def counts(self, rollout: Rollout, steps: tuple[StepCounts, ...]) -> Evidence:
        """Return what the workers' own counts say of a rollout's health."""
        usual, _ = self._fixed(rollout)
        return Evidence(steps=steps, usual_ms=usual)

    def _fixed(self, rollout: Rollout) -> tuple[float | None, list[Cut]]:
        """Return what was fixed before the rollout began; told by what came before, and kept."""
        if rollout.id not in self._known:
            champion, before = rollout.champion, rollout.started
            usual = self._arms.usual_latency(rollout.endpoint, champion.version, before=before)
            cuts: list[Cut] = []
            if rollout.policy.max_shift is not None:
                cuts = self._arms.cuts(
                    rollout.endpoint, champion.model, champion.version, before=before
                )
            self._known = {rollout.id: (usual, cuts)} | _others(self._known, rollout.id)
        return self._known[rollout.id]


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


def _steps(rollout: Rollout, candidate: Arm, champion: Arm) -> tuple[StepCounts, ...]:
    found = []
    for number, (mine, theirs) in enumerate(
        zip(candidate.requests, champion.requests, strict=True)
    ):
        candidate_counts, champion_counts = (
            Counts(requests=len(r.latencies_us), errors=r.errors, latencies=counted(r.latencies_us))
            for r in (mine, theirs)
        )
        found.append(
            StepCounts(
                percent=rollout.policy.steps[number],
                candidate=candidate_counts,
                champion=champion_counts,
            )
        )
    return tuple(found)


def _since(before: Counts | None, now: Counts) -> Counts:
    if before is None or now.requests < before.requests or now.errors < before.errors:
        return now
    pairs = zip(now.latencies, before.latencies or (0,) * len(now.latencies), strict=True)
    return Counts(
        requests=now.requests - before.requests,
        errors=now.errors - before.errors,
        latencies=tuple(max(a - b, 0) for a, b in pairs),
    )


def _units(sums: Sums | None) -> Units | None:
    return None if sums is None else _sure(sums)


def _sure(sums: Sums) -> Units:
    return Units(sums.totals, sums.sizes)


def _others(
    known: Mapping[str, tuple[float | None, list[Cut]]], rollout: str
) -> dict[str, tuple[float | None, list[Cut]]]:
    """Return what is known of other rollouts, of the last few."""
    rest = [(k, v) for k, v in known.items() if k != rollout]
    return dict(rest[:20])
