"""Whether to train now: a pure function of the policy and the situation.

Nothing here reads a clock, a database or a file; so the same question can be answered for the
present (`tidemill loop explain`), for a recorded year, or for a policy that is only being tried.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from tidemill.core.errors import Usage, nearest
from tidemill.core.policy import RetrainPolicy
from tidemill.loop.records import Intention, Signal, Situation

SIGNALS = ("new-data", "drift", "performance")
_SCHEDULE = "schedule:"


class BadTrigger(Usage):
    """The policy names a trigger that does not exist."""


def consider(policy: RetrainPolicy, situation: Situation) -> Intention:
    """Say whether a training would start now, and why or why not.

    Raises:
        BadTrigger: `retrain.on` names an unknown trigger or an unreadable schedule.

    Example:
        >>> from datetime import UTC
        >>> drift = Signal(trigger="drift", fact="f1", time=datetime(2013, 3, 4, tzinfo=UTC),
        ...                message="temp drifted")
        >>> now = datetime(2013, 3, 5, tzinfo=UTC)
        >>> seen = Situation(model="m", now=now, last_training=datetime(2013, 2, 1, tzinfo=UTC),
        ...                  has_version=True, in_rollout=False, new_rows=900, signals=(drift,))
        >>> consider(RetrainPolicy(on=("drift",), cooldown=7 * 86400.0), seen).reason
        'temp drifted'
        >>> consider(RetrainPolicy(on=("drift",), cooldown=60 * 86400.0), seen).act
        False
    """
    signals = tuple(s for s in situation.signals if s.trigger in policy.on)
    signals = _grown(policy, situation, signals)
    due = _due(policy, situation)
    seen = signals + ((due,) if due else ())

    def hold(reason: str, not_before: datetime | None = None) -> Intention:
        return Intention(
            model=situation.model,
            act=False,
            trigger=seen[0].trigger if seen else None,
            reason=reason,
            signals=seen,
            not_before=not_before,
        )

    if not situation.has_version and "new-data" not in policy.on:
        return hold("There is no version yet: start the first one with `tidemill run`.")
    if not seen:
        return hold("Nothing has been seen that the policy reacts to.")
    if situation.in_rollout:
        return hold("A candidate is being rolled out: its end is awaited first.")
    until = _cooldown_end(policy, situation)
    if until is not None:
        return hold(f"The cooldown lasts until {until:%Y-%m-%d %H:%M} UTC.", until)
    if situation.new_rows < policy.min_new_rows:
        return hold(
            f"{situation.new_rows:,} rows have come since the last training; "
            f"the policy asks for {policy.min_new_rows:,}."
        )
    return Intention(
        model=situation.model,
        act=True,
        trigger=seen[-1].trigger,
        reason=_because(seen),
        signals=seen,
    )


def _grown(
    policy: RetrainPolicy, situation: Situation, signals: tuple[Signal, ...]
) -> tuple[Signal, ...]:
    """Replace the many small arrivals of data by one, once they amount to enough growth."""
    others = tuple(s for s in signals if s.trigger != "new-data")
    arrivals = [s for s in signals if s.trigger == "new-data"]
    if policy.min_growth <= 0 or not arrivals or not situation.known_rows:
        return signals
    growth = situation.new_rows / situation.known_rows
    if growth < policy.min_growth:
        return others
    said = (
        f"The data grew by {growth:.0%}, from {situation.known_rows:,} rows, since the last "
        "training."
    )
    grown = Signal(
        trigger="new-data",
        fact=arrivals[-1].fact,
        time=arrivals[-1].time,
        message=said,
        numbers={"growth": growth, "rows": float(situation.new_rows)},
    )
    return (*others, grown)


def _because(signals: tuple[Signal, ...]) -> str:
    """The newest signal speaks; older ones are counted."""
    more = len(signals) - 1
    return signals[-1].message + (f" (and {more} earlier)" if more else "")


def _cooldown_end(policy: RetrainPolicy, situation: Situation) -> datetime | None:
    if situation.last_training is None:
        return None
    until = situation.last_training + timedelta(seconds=policy.cooldown)
    return until if until > situation.now else None


def _due(policy: RetrainPolicy, situation: Situation) -> Signal | None:
    """Return a signal when a moment of the schedule has passed since the last training."""
    for trigger in policy.on:
        if trigger in SIGNALS:
            continue
        if not trigger.startswith(_SCHEDULE):
            raise BadTrigger(
                f"The policy trains {situation.model} on {trigger!r}, which is no trigger.",
                expected=nearest(trigger, (*SIGNALS, "schedule: 0 3 * * 1")),
            )
        if situation.last_training is None:
            continue
        moment = _next(trigger, situation.last_training)
        if moment is not None and moment <= situation.now:
            message = f"The schedule {trigger.removeprefix(_SCHEDULE).strip()!r} came due."
            return Signal(trigger="schedule", fact="", time=moment, message=message)
    return None


def _next(trigger: str, after: datetime) -> datetime | None:
    expression = trigger.removeprefix(_SCHEDULE).strip()
    try:
        return next(CronSim(expression, after), None)
    except CronSimError as error:
        raise BadTrigger(
            f"The schedule {expression!r} cannot be read: {error}.",
            expected="five fields: minute hour day month weekday, in UTC",
            hint='For example on = ["schedule: 0 3 * * 1"] is every Monday at three.',
        ) from error
