"""The controller: reads the journal, holds the policy against the state, decides, writes down why.

A decision is written before it is carried out, and carrying it out twice is the same as once; so a
controller that is killed at any moment goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tidemill.core import digest
from tidemill.core.clock import Clock
from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.events import Fact
from tidemill.core.ids import Ids
from tidemill.core.policy import ModelPolicy
from tidemill.core.references import Ref
from tidemill.datasets.events import DataAppended
from tidemill.journal.service import Journal
from tidemill.loop.events import CarriedOut, Decided, Failed
from tidemill.loop.records import Decision, DecisionKind, Intention, Signal, Situation
from tidemill.loop.rollouts import Rollouts, RolloutVerdict
from tidemill.loop.shadows import Shadows
from tidemill.loop.trainer import Trainer
from tidemill.loop.triggers import consider
from tidemill.monitoring.alerts.service import Alerts
from tidemill.monitoring.events import FindingRaised
from tidemill.monitoring.service import Monitor
from tidemill.pipelines.records import PipelineRun
from tidemill.pipelines.service import Progress
from tidemill.serving.counters import Counter
from tidemill.serving.evidence import Counts
from tidemill.tracking.events import RunStarted

ACTOR = "loop"
_TRIGGER_OF = {
    "drift": "drift",
    "prediction-drift": "drift",
    "performance": "performance",
    "concept": "performance",
}
Listener = Callable[[Decision], None]


class Controller:
    """Closes the loop.

    Args:
        trainer: Makes models.
        monitor: Finds what is wrong.
        rollouts: Judges candidates in traffic.
        shadows: Compares shadows with what was answered.
        alerts: Tell people.
        journal: What happened, and where decisions are written down.
        clock: Tells the time.
        ids: Name decisions.
    """

    def __init__(
        self,
        *,
        trainer: Trainer,
        monitor: Monitor,
        rollouts: Rollouts,
        shadows: Shadows,
        alerts: Alerts,
        journal: Journal,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._trainer = trainer
        self._monitor = monitor
        self._rollouts = rollouts
        self._shadows = shadows
        self._alerts = alerts
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._judging = threading.Lock()

    def tick(
        self, *, on_decision: Listener | None = None, on_progress: Progress | None = None
    ) -> list[Decision]:
        """Go once around: take in data, watch, judge rollouts, train where the policy says so.

        What a person should know of it becomes an alert, also where the round breaks off.

        Args:
            on_decision: Is told of each decision, before and after it is carried out.
            on_progress: Is told of the steps of a training.
        """
        try:
            return self._go_around(on_decision or (lambda _: None), on_progress)
        finally:
            self._alerts.tick()

    def _go_around(self, tell: Listener, on_progress: Progress | None) -> list[Decision]:
        made = [*self.recover(on_decision=tell, on_progress=on_progress), *self._take_in(tell)]
        for model, policy in self._trainer.policy.models.items():
            self._watch(model, policy)
            made += self._judge_rollouts(policy.serving.endpoint or model, tell)
            made += self._train(model, policy, tell, on_progress)
        for endpoint in self._rollouts.endpoints():
            self._monitor.observe(endpoint)
            made += self._judge_rollouts(endpoint, tell)
        self._rollouts.close_ended()
        for endpoint in self._shadows.endpoints():
            self._monitor.observe(endpoint)
            self._shadows.look(endpoint)
        return made

    def watch(self) -> None:
        """Judge what is due, and tell a person of it; decide nothing."""
        for model, policy in self._trainer.policy.models.items():
            self._watch(model, policy)
        self._alerts.tick()

    @property
    def rolling(self) -> bool:
        """Whether any candidate is being rolled out."""
        return bool(self._rollouts.endpoints())

    def guard(
        self,
        counters: Mapping[Counter, Counts],
        problems: Mapping[str, str],
        *,
        on_decision: Listener | None = None,
    ) -> list[Decision]:
        """Look at the health of candidates alone: cheap, and for every second.

        Args:
            counters: What the workers have counted since each was started.
            problems: Why an endpoint is not as it should be, by its name, as workers say.
            on_decision: Is told of each decision, before and after it is carried out.
        """
        with self._judging:
            alarms = self._rollouts.alarms(counters, problems)
            return self._carry_out(alarms, on_decision or (lambda _: None))

    def recover(
        self, *, on_decision: Listener | None = None, on_progress: Progress | None = None
    ) -> list[Decision]:
        """Carry out what was decided and not finished before the last stop."""
        tell = on_decision or (lambda _: None)
        carried = []
        for decision, fact in self._unfinished():
            if decision.kind == "train":
                carried.append(self._carry_out_training(decision, fact, tell, on_progress))
            else:
                carried.append(self._finish(decision, fact, self._rollouts.settle(decision), tell))
        return carried

    def explain(self, model: str) -> Intention:
        """Say what the loop would do for a model now, and why."""
        policy = self._trainer.model_policy(model)
        return consider(policy.retrain, self._situation(model, policy))

    def decisions(self, *, limit: int = 1000) -> list[Decision]:
        """Return decisions with what came of them, newest first."""
        facts = self._journal.read(types=(Decided.type,), newest_first=True, limit=limit)
        ends = self._ends(limit * 2)
        return [_with_end(f.read(Decided).decision, ends) for f in facts]

    def train(self, model: str, *, actor: str, on_progress: Progress | None = None) -> PipelineRun:
        """Train because somebody asked for it."""
        return self._trainer.train(model, actor=actor, on_progress=on_progress)

    def _take_in(self, tell: Listener) -> list[Decision]:
        """Take in new files; each that is refused is a decision of its own."""
        made = []
        for dataset in self._trainer.policy.datasets:
            try:
                snapshot = self._trainer.take_in(dataset, actor=ACTOR)
            except NotFound:
                continue  # no data yet
            for refusal in snapshot.refused:
                decision = self._decision(
                    "refuse-data",
                    Ref("dataset", dataset),
                    f"{refusal.name} was refused: {refusal.reason}",
                    "new-data",
                    findings=(refusal.fact,),
                )
                fact = self._write(decision, dataset)
                kept = "Nothing of it was stored; the live model is untouched."
                made.append(self._finish(decision, fact, kept, tell))
        return made

    def _watch(self, model: str, policy: ModelPolicy) -> None:
        endpoint = policy.serving.endpoint or model
        self._monitor.observe(endpoint)
        live = self._trainer.champion(model)
        if live is not None:
            self._monitor.judge(
                endpoint,
                model=model,
                version=live.version,
                policy=policy.watching,
                metrics=policy.metrics,
            )

    def _judge_rollouts(self, endpoint: str, tell: Listener) -> list[Decision]:
        with self._judging:
            return self._carry_out(self._rollouts.verdicts(endpoint), tell)

    def _carry_out(self, verdicts: Sequence[RolloutVerdict], tell: Listener) -> list[Decision]:
        made = []
        for verdict in verdicts:
            decision = self._decision(
                verdict.kind,
                Ref("rollout", verdict.rollout),
                verdict.reason,
                "evidence",
                numbers=verdict.numbers,
            )
            fact = self._write(decision, verdict.model)
            tell(decision)
            result = self._rollouts.carry_out(verdict, cause=fact.id)
            made.append(self._finish(decision, fact, result, tell))
        return made

    def _train(
        self,
        model: str,
        policy: ModelPolicy,
        tell: Listener,
        on_progress: Progress | None,
    ) -> list[Decision]:
        intention = consider(policy.retrain, self._situation(model, policy))
        if not intention.act:
            return []
        decision = self._decision(
            "train",
            Ref("model", model),
            intention.reason,
            intention.trigger or "",
            findings=tuple(s.fact for s in intention.signals if s.fact),
            numbers=intention.signals[-1].numbers if intention.signals else {},
        )
        fact = self._write(decision, model)
        return [self._carry_out_training(decision, fact, tell, on_progress)]

    def _carry_out_training(
        self, decision: Decision, fact: Fact, tell: Listener, on_progress: Progress | None
    ) -> Decision:
        tell(decision)
        model = Ref.parse(decision.subject).name
        try:
            run = self._trainer.train(
                model, actor=ACTOR, run_id=decision.id, cause=fact.id, on_progress=on_progress
            )
        except TidemillError as error:
            return self._fail(decision, fact, str(error), tell)
        if run.status == "finished":
            return self._finish(decision, fact, self._trainer.outcome(run), tell)
        if run.status == "held":
            return self._finish(decision, fact, run.error or "The gate said no.", tell)
        return self._fail(decision, fact, run.error or "The run failed.", tell)

    def _situation(self, model: str, policy: ModelPolicy) -> Situation:
        begun = self._last_training(model)
        after = 0 if begun is None else begun.position
        signals = self._signals(model, policy, after)
        rows = sum(int(s.numbers.get("rows", 0)) for s in signals if s.trigger == "new-data")
        return Situation(
            model=model,
            now=self._clock.now(),
            last_training=None if begun is None else begun.time,
            has_version=self._trainer.champion(model) is not None,
            in_rollout=self._rollouts.active(policy.serving.endpoint or model),
            new_rows=rows,
            known_rows=max(self._trainer.rows(policy.dataset) - rows, 0),
            signals=signals,
        )

    def _last_training(self, model: str) -> Fact | None:
        """Return the fact of the last training's start, by whomever."""
        for fact in self._journal.read(types=(RunStarted.type,), newest_first=True, limit=200):
            if fact.read(RunStarted).experiment == model:
                return fact
        return None

    def _signals(self, model: str, policy: ModelPolicy, after: int) -> tuple[Signal, ...]:
        facts = self._journal.read(
            after=after, types=(FindingRaised.type, DataAppended.type), limit=10_000
        )
        signals = [self._signal(fact, model, policy) for fact in facts]
        return tuple(s for s in signals if s is not None)

    def _signal(self, fact: Fact, model: str, policy: ModelPolicy) -> Signal | None:
        if fact.type == DataAppended.type:
            appended = fact.read(DataAppended)
            if appended.dataset != policy.dataset or appended.rows == 0:
                return None
            said = f"{appended.rows:,} new rows came to dataset {appended.dataset}."
            numbers = {"rows": float(appended.rows)}
            return Signal(
                trigger="new-data", fact=fact.id, time=fact.time, message=said, numbers=numbers
            )
        finding = fact.read(FindingRaised).finding
        trigger = _TRIGGER_OF.get(finding.kind)
        if finding.model != model or trigger is None:
            return None
        return Signal(
            trigger=trigger,
            fact=fact.id,
            time=fact.time,
            message=finding.message,
            numbers=finding.numbers,
        )

    def _decision(
        self,
        kind: DecisionKind,
        subject: Ref,
        reason: str,
        trigger: str,
        *,
        findings: Sequence[str] = (),
        numbers: dict[str, float] | None = None,
    ) -> Decision:
        return Decision(
            id=self._ids.new(),
            time=self._clock.now(),
            kind=kind,
            subject=str(subject),
            reason=reason,
            trigger=trigger,
            findings=tuple(findings),
            numbers=numbers or {},
        )

    def _write(self, decision: Decision, section: str) -> Fact:
        policy = self._trainer.policy
        part = policy.models.get(section) or policy.datasets.get(section)
        event = Decided(decision=decision, policy=digest.of_record(part))
        cause = decision.findings[-1] if decision.findings else None
        subject = Ref.parse(decision.subject)
        return self._journal.record(event, subject=subject, actor=ACTOR, cause=cause)

    def _finish(self, decision: Decision, fact: Fact, result: str, tell: Listener) -> Decision:
        event = CarriedOut(decision=decision.id, result=result)
        subject = Ref.parse(decision.subject)
        self._journal.record(event, subject=subject, actor=ACTOR, cause=fact.id)
        done = msgspec.structs.replace(decision, outcome="done", result=result)
        tell(done)
        return done

    def _fail(self, decision: Decision, fact: Fact, error: str, tell: Listener) -> Decision:
        event = Failed(decision=decision.id, error=error)
        subject = Ref.parse(decision.subject)
        self._journal.record(event, subject=subject, actor=ACTOR, cause=fact.id)
        failed = msgspec.structs.replace(decision, outcome="failed", result=error)
        tell(failed)
        return failed

    def _unfinished(self) -> list[tuple[Decision, Fact]]:
        ends = self._ends(50)
        recent = self._journal.read(types=(Decided.type,), newest_first=True, limit=20)
        pairs = [(f.read(Decided).decision, f) for f in reversed(recent)]
        return [(d, f) for d, f in pairs if d.id not in ends]

    def _ends(self, limit: int) -> dict[str, CarriedOut | Failed]:
        facts = self._journal.read(
            types=(CarriedOut.type, Failed.type), newest_first=True, limit=limit
        )
        kinds: dict[str, type[CarriedOut] | type[Failed]] = {
            CarriedOut.type: CarriedOut,
            Failed.type: Failed,
        }
        ends = [f.read(kinds[f.type]) for f in facts]
        return {end.decision: end for end in ends}


def _with_end(decision: Decision, ends: dict[str, CarriedOut | Failed]) -> Decision:
    end = ends.get(decision.id)
    if isinstance(end, CarriedOut):
        return msgspec.structs.replace(decision, outcome="done", result=end.result)
    if isinstance(end, Failed):
        return msgspec.structs.replace(decision, outcome="failed", result=end.error)
    return decision
