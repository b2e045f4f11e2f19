"""What is too much, and for how long it must have been: a pure function of figures and policy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from tidemill.core.findings import FindingKind, Severity
from tidemill.core.policy import HealthPolicy
from tidemill.monitoring.health.records import Stretch, added

ENDPOINT = "endpoint "
"""What the names of endpoints' figures begin with."""
_LEAST_REQUESTS = 20
_ALMOST_FULL = 0.97
_MB = float(1 << 20)
_GIB = float(1 << 30)
_RESTARTS = 2.0
"""How many processes may end by themselves in the time before a person is told."""
_OUTGROWN = 2
"""How many workers an hour may be replaced for their memory before a person is told."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One limit that is passed.

    Attributes:
        about: Which: `machine/cpu`.
        kind: What kind of finding it is.
        severity: How much it matters.
        message: One sentence.
        numbers: The figures behind it.
        endpoint: Of which endpoint, where it is one's.
    """

    about: str
    kind: FindingKind = "health"
    severity: Severity = "warning"
    message: str
    numbers: dict[str, float]
    endpoint: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is passed, and what could be judged at all: only that can be over.

    Attributes:
        troubles: What is passed.
        judged: Every `about` that was held against its limit.
    """

    troubles: tuple[Trouble, ...]
    judged: frozenset[str]


def judge(
    stretches: Sequence[Stretch], policy: HealthPolicy, hour: Sequence[Stretch] = ()
) -> Verdict:
    """Hold the newest figures against the limits.

    A limit of a level counts as passed when no reading of the whole time stayed below it, and as
    kept when one did; a limit of a rate is held against the time as a whole.

    Args:
        stretches: The newest stretches, as long together as a limit must be passed.
        policy: The limits.
        hour: Those of the last hour, for what is rare.

    Example:
        >>> from tidemill.monitoring.health.records import Gauge
        >>> busy = [Stretch(since=i, seconds=10, gauges={"machine/cpu": Gauge.of(0.99)})
        ...         for i in range(0, 300, 10)]
        >>> [t.message for t in judge(busy, HealthPolicy()).troubles]
        ['The processors were in use by at least 99% for 5 minutes.']
        >>> judge(busy[:20], HealthPolicy()).troubles
        ()
    """
    if not stretches:
        return Verdict(troubles=(), judged=frozenset())
    covered = sum(s.seconds for s in stretches)
    if covered < 0.8 * policy.lasting:
        return Verdict(troubles=(), judged=frozenset())
    whole = added(stretches, stretches[0].since, covered)
    found = [*_levels(whole, policy), *_endpoints(whole, policy), *_losses(whole)]
    found += _worker_memory(whole, added(hour, whole.since, covered))
    return Verdict(
        troubles=tuple(t for t, passed in found if passed),
        judged=frozenset(t.about for t, _ in found),
    )


def _levels(whole: Stretch, policy: HealthPolicy) -> Iterator[tuple[Trouble, bool]]:
    minutes = _minutes(policy)
    cpu, memory = whole.gauges.get("machine/cpu"), whole.gauges.get("machine/memory")
    if cpu is not None:
        said = f"The processors were in use by at least {cpu.low:.0%} for {minutes}."
        yield _level("machine/cpu", said, cpu.low, policy.max_cpu)
    if memory is not None:
        said = f"At least {memory.low:.0%} of the memory was in use for {minutes}."
        yield _level("machine/memory", said, memory.low, policy.max_memory)
    used, free = whole.gauges.get("disk/used"), whole.gauges.get("disk/free")
    if used is not None and free is not None:
        said = f"The disk of the home is {used.low:.0%} full: {free.low / _GIB:.1f} GiB are left."
        trouble, passed = _level("disk/used", said, used.low, policy.max_disk)
        severity: Severity = "critical" if used.low >= _ALMOST_FULL else "warning"
        yield msgspec.structs.replace(trouble, severity=severity), passed


def _level(about: str, said: str, value: float, limit: float) -> tuple[Trouble, bool]:
    numbers = {"value": value, "limit": limit}
    return Trouble(about=about, message=said, numbers=numbers), value > limit


def _endpoints(whole: Stretch, policy: HealthPolicy) -> Iterator[tuple[Trouble, bool]]:
    names = {n.rpartition("/")[0] for n in whole.counts if n.startswith(ENDPOINT)}
    for subject in sorted(names):
        yield from _endpoint(whole, policy, subject)


def _endpoint(whole: Stretch, policy: HealthPolicy, subject: str) -> Iterator[tuple[Trouble, bool]]:
    name = subject.removeprefix(ENDPOINT)
    minutes = _minutes(policy)
    requests = whole.counts.get(f"{subject}/requests", 0.0)
    errors = whole.counts.get(f"{subject}/errors", 0.0)
    refused = whole.counts.get(f"{subject}/refused", 0.0)

    def told(
        figure: str, said: str, value: float, limit: float, kind: FindingKind = "health"
    ) -> tuple[Trouble, bool]:
        trouble = Trouble(
            about=figure,
            kind=kind,
            severity="critical" if figure == "errors" else "warning",
            message=said,
            numbers={"value": value, "limit": limit, "requests": requests},
            endpoint=name,
        )
        return trouble, value > limit

    if requests >= _LEAST_REQUESTS:
        share = errors / requests
        said = f"{share:.1%} of {requests:,.0f} requests to {name} failed in {minutes}."
        yield told("errors", said, share, policy.max_error_rate)
    if requests + refused >= _LEAST_REQUESTS:
        share = refused / (requests + refused)
        said = (
            f"{share:.1%} of {requests + refused:,.0f} requests to {name} were refused in "
            f"{minutes}, because their values break the contract{_columns(whole, subject)}."
        )
        yield told("refused", said, share, policy.max_refused, "quality")
    if f"{subject}/restarts" in whole.counts:
        again = whole.counts[f"{subject}/restarts"]
        said = (
            f"Processes of the model behind {name} ended, hung or took too much memory, and were "
            f"replaced {again:.0f} times in {minutes}: logs/workers.log of the home says why."
        )
        yield told("restarts", said, again, _RESTARTS)
    for figure, limit, words in (
        ("latency", policy.max_latency, "the answer"),
        ("queue", policy.max_queue, "a place in a batch"),
    ):
        slow = whole.durations.get(f"{subject}/{figure}")
        if limit is None or slow is None or sum(slow.counts) < _LEAST_REQUESTS:
            continue
        value = slow.quantile(0.99) or 0.0
        said = f"One in a hundred requests to {name} waited {value:.3g} s or longer for {words}."
        yield told(figure, said, value, limit)


def _minutes(policy: HealthPolicy) -> str:
    many = policy.lasting / 60
    return "1 minute" if many == 1 else f"{many:g} minutes"


def _columns(whole: Stretch, subject: str) -> str:
    """Name the columns and rules for which most were refused."""
    begin = f"{subject}/refused for "
    found = {n.removeprefix(begin): c for n, c in whole.counts.items() if n.startswith(begin)}
    first = sorted((c for c in found if found[c]), key=lambda c: -found[c])[:3]
    named = (c.rpartition(" ") for c in first)
    said = ", ".join(
        f"`{column}` ({rule}, {found[f'{column} {rule}']:,.0f})" for column, _, rule in named
    )
    return f": {said}" if said else ""


def _worker_memory(whole: Stretch, hour: Stretch) -> Iterator[tuple[Trouble, bool]]:
    """Hold what workers take against what they may; without a limit, neither is so any more."""
    again = hour.counts.get("workers/outgrown", 0.0)
    limit, needed = (whole.gauges.get(f"workers/{name}") for name in ("limit", "needed"))
    most = 0.0 if limit is None else limit.high / _MB
    least = 0.0 if needed is None else needed.low / _MB
    type_this = (
        f"`tidemill up --worker-memory {_roomy(most, least)}`, or worker_memory in [settings]"
    )
    said = (
        f"Workers took more than the {most:,.0f} MB of worker_memory and were replaced {again:.0f} "
        "times within an hour. If their memory grows for as long as they live, a model leaks "
        f"(`tidemill monitor health --since 6h`); if a model needs as much, say so: {type_this}."
    )
    numbers = {"value": again, "limit": float(_OUTGROWN - 1), "limit_mb": most}
    trouble = Trouble(about="workers/outgrown", message=said, numbers=numbers)
    yield trouble, again >= _OUTGROWN and limit is not None
    said = (
        f"A worker needs {least:,.0f} MB for what it serves, more than the {most:,.0f} MB of "
        "worker_memory: it is replaced only when it takes half as much again. Allow it more "
        f"({type_this}), or keep fewer versions loaded (`tidemill deploy MODEL --keep 1`)."
    )
    numbers = {"value": least, "limit": most}
    yield Trouble(about="workers/needed", message=said, numbers=numbers), least > most > 0


def _roomy(limit: float, needed: float) -> int:
    """Return a limit in MB that leaves room for what is needed, in whole hundreds."""
    return math.ceil(max(2 * needed, 1.5 * limit) / 100) * 100


def _losses(whole: Stretch) -> Iterator[tuple[Trouble, bool]]:
    if "workers/lost" in whole.counts:
        lost = whole.counts["workers/lost"]
        said = f"The prediction log lost {lost:,.0f} records: they could not be written."
        numbers = {"value": lost, "limit": 0.0}
        trouble = Trouble(about="workers/lost", severity="critical", message=said, numbers=numbers)
        yield trouble, lost > 0
    if "workers/restarts" in whole.counts:
        again = whole.counts["workers/restarts"]
        said = f"Workers ended and were started again {again:.0f} times."
        numbers = {"value": again, "limit": _RESTARTS}
        yield Trouble(about="workers/restarts", message=said, numbers=numbers), again > _RESTARTS
