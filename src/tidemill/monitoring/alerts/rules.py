"""Which rule sees what: the policy's own rules first, then what findings say by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from tidemill.core.findings import USUAL, Severity
from tidemill.core.policy import AlertPolicy, AlertRule
from tidemill.core.policy.alerting import FIGURES, PREFIXES, sinks_of
from tidemill.monitoring.alerts.records import FIGURE, Alert, Observation, Reading

_RANKS: dict[str, int] = {"info": 0, "warning": 1, "critical": 2}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with everything that it leaves out filled in.

    Attributes:
        name: Its name; the kind's for what no rule names.
        hold: How long it must hold before it is an alert, in seconds.
        severity: How much it matters; nothing where the finding says.
        sinks: Which sinks are told; nothing where the routes say.
        cooldown: How long after a message the next one is held back, in seconds.
        resolve_after: How long it must be clear before it counts as over, in seconds.
        reopen: How long after its end it is still the same alert, in seconds.
    """

    name: str
    hold: float = 0.0
    severity: Severity | None = None
    sinks: tuple[str, ...] | None = None
    cooldown: float
    resolve_after: float
    reopen: float


class Rules:
    """The rules that hold now.

    Args:
        policy: What `[alerts]` says.
    """

    def __init__(self, policy: AlertPolicy) -> None:
        self._policy = policy

    def of(self, seen: Observation) -> Rule | None:
        """Return the rule that decides about an observation; nothing where it is no alert."""
        if seen.rule is not None:
            return self.named(seen.rule)
        for name, rule in self._policy.rules.items():
            if seen.kind in rule.on and _concerns(rule, seen):
                return None if rule.severity == "ignore" else self._complete(name, rule)
        if not self._policy.defaults or seen.kind in USUAL:
            return None
        return self._complete(seen.kind, AlertRule())

    def named(self, name: str, kind: str = FIGURE) -> Rule | None:
        """Return the rule of that name; nothing where it is gone."""
        rule = self._policy.rules.get(name)
        if rule is not None:
            return None if rule.severity == "ignore" else self._complete(name, rule)
        return self._complete(name, AlertRule()) if self._policy.defaults and name == kind else None

    def over(self, reading: Reading) -> Iterator[tuple[str, AlertRule]]:
        """Go through the rules that look at a figure."""
        for name, rule in self._policy.rules.items():
            if rule.metric != reading.name or rule.severity == "ignore":
                continue
            plain = reading.name in FIGURES or reading.name.startswith(PREFIXES)
            if (plain or rule.source == reading.source) and _concerns(rule, reading):
                yield name, rule

    def route(self, rule: Rule | None, severity: Severity) -> tuple[str, ...]:
        """Return the sinks that are told."""
        known = sinks_of(self._policy)
        if rule is not None and rule.sinks is not None:
            return tuple(s for s in rule.sinks if s in known)
        routed = getattr(self._policy.routes, severity)
        if routed is None:
            return () if severity == "info" else tuple(known)
        return tuple(s for s in routed if s in known)

    @property
    def watch_the_system(self) -> bool:
        """Whether any rule asks for figures of the moment."""
        return any((r.metric or "").startswith("system.") for r in self._policy.rules.values())

    @property
    def longest_reopen(self) -> float:
        """For how long an alert may be the same again, in seconds."""
        each = [r.reopen for r in self._policy.rules.values() if r.reopen is not None]
        return max([self._policy.reopen, *each])

    @property
    def page(self) -> str:
        """The address under which people reach the server."""
        return (self._policy.page or "").rstrip("/")

    def _complete(self, name: str, rule: AlertRule) -> Rule:
        every = self._policy
        return Rule(
            name=name,
            hold=rule.hold,
            severity=None if rule.severity == "ignore" else rule.severity,
            sinks=rule.sinks,
            cooldown=every.cooldown if rule.cooldown is None else rule.cooldown,
            resolve_after=(
                every.resolve_after if rule.resolve_after is None else rule.resolve_after
            ),
            reopen=every.reopen if rule.reopen is None else rule.reopen,
        )


def fingerprint(rule: str, seen: Observation) -> str:
    """Return what names an alert: whose rule, of what, about what. Never its figures or version.

    Example:
        >>> from datetime import UTC, datetime
        >>> seen = Observation(kind="drift", holds=True, time=datetime(2013, 4, 3, tzinfo=UTC),
        ...                    subject="endpoint:taxis")
        >>> later = msgspec.structs.replace(seen, version=2, message="again")
        >>> fingerprint("drift", seen) == fingerprint("drift", later)
        True
    """
    parts = (rule, seen.kind, seen.about, seen.subject, seen.model)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def judged(name: str, rule: AlertRule, reading: Reading, *, open: bool) -> Observation:
    """Hold a figure against a rule's limits.

    Args:
        name: The rule's name.
        rule: The rule.
        reading: The figure.
        open: Whether the rule saw it beyond its limit before: then it is over only where the
            figure has come back as far as `recovered`.

    Example:
        >>> from datetime import UTC, datetime
        >>> rule = AlertRule(metric="recall", below=0.4, recovered=0.45)
        >>> now = Reading(name="recall", value=0.42, time=datetime(2013, 4, 3, tzinfo=UTC),
        ...               subject="endpoint:taxis")
        >>> judged("low", rule, now, open=False).holds, judged("low", rule, now, open=True).holds
        (False, True)
    """
    value = reading.value
    back = rule.recovered if open else None
    low = rule.below if back is None or rule.below is None else back
    high = rule.above if back is None or rule.above is None else back
    under = low is not None and value < low
    over = high is not None and value > high
    limit = rule.below if under or rule.above is None else rule.above
    which = "" if reading.name in FIGURES or reading.source == "realised" else "expected "
    side = "below" if under or (not over and rule.below is not None) else "above"
    severity: Severity = "warning" if rule.severity in (None, "ignore") else rule.severity  # type: ignore[assignment]
    where = f" of {reading.about}" if reading.about else ""
    return Observation(
        kind=FIGURE,
        holds=under or over,
        time=reading.time,
        subject=reading.subject,
        about="/".join(p for p in (reading.name, reading.about) if p),
        endpoint=reading.endpoint,
        model=reading.model,
        version=reading.version,
        until=reading.until,
        severity=severity,
        message=f"{which}{reading.name}{where} is {value:.4g}, "
        f"{_beyond(rule, value, side, holds=under or over)} the limit of {limit:.4g}.",
        fact=reading.fact,
        standing=reading.until is None,
        value=value,
        limit=limit,
        rule=name,
    )


def _beyond(rule: AlertRule, value: float, side: str, *, holds: bool) -> str:
    """Say where a figure is; one that is on its way back may be on the good side of its limit."""
    passed = (rule.below is not None and value < rule.below) or (
        rule.above is not None and value > rule.above
    )
    if holds and not passed:
        return f"not back at {rule.recovered:.4g} yet after being {side}"
    return side if holds else f"no longer {side}"


def outranks(severity: Severity, other: Severity | None) -> bool:
    """Tell whether a severity matters more than another one.

    Example:
        >>> outranks("critical", "warning"), outranks("info", "info"), outranks("info", None)
        (True, False, True)
    """
    return other is None or _RANKS[severity] > _RANKS[other]


def _concerns(rule: AlertRule, seen: Observation | Reading | Alert) -> bool:
    return (not rule.models or seen.model in rule.models) and (
        not rule.endpoints or seen.endpoint in rule.endpoints
    )
