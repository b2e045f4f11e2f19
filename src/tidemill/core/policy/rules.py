"""What must hold of a policy beyond the type and the bounds of each single value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from tidemill.core.errors import nearest
from tidemill.core.policy.alerting import of_alerts
from tidemill.core.policy.breach import Breach, Path
from tidemill.core.policy.records import DatasetPolicy, GateRule, ModelPolicy, Policy
from tidemill.core.policy.redaction import ACTIONS, read_redaction
from tidemill.core.tasks import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    ROW_METRICS,
    metrics_of,
)

SANDBOXED = ("latency_p50_ms", "latency_p99_ms", "memory_mb", "startup_s")
"""What is measured of a candidate that answers in a sandbox; smaller is better."""
TRIGGERS = ("new-data", "drift", "performance", "schedule: CRON")
_UNIT_METRICS = frozenset(CLASSIFICATION_METRICS) - {"log_loss"}
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_SCHEDULE = re.compile(r"schedule:\s*([\dA-Za-z*/,#-]+\s+){4}[\dA-Za-z*/,#-]+\s*")


def breaches(policy: Policy) -> Iterator[Breach]:
    """Go through everything that does not hold.

    Example:
        >>> data = DatasetPolicy(source="/etc/*.csv")
        >>> [b.what for b in breaches(Policy(datasets={"d": data}))]
        ["is '/etc/*.csv'"]
    """
    for name, dataset in policy.datasets.items():
        yield from _of_dataset(("datasets", name), dataset)
    for name, model in policy.models.items():
        yield from _of_model(("models", name), model, policy)
    yield from _shared_endpoints(policy)
    yield from of_alerts(policy)


def _of_dataset(path: Path, dataset: DatasetPolicy) -> Iterator[Breach]:
    for key in ("source", "contract"):
        value = getattr(dataset, key)
        if value is not None and not _inside(value):
            yield Breach((*path, key), f"is {value!r}", "a path below the project's folder")
    seen: dict[str, str] = {}
    for role in ("label", "time", "key"):
        column = getattr(dataset, role)
        if column is None:
            continue
        if column in seen:
            expected = f"another column: {column!r} is the {seen[column]} already"
            yield Breach((*path, role), f"is {column!r}", expected)
        if column in dataset.ignore:
            yield Breach((*path, "ignore"), f"names {column!r}", f"no column that is the {role}")
        seen[column] = role


def _of_model(path: Path, model: ModelPolicy, policy: Policy) -> Iterator[Breach]:
    if model.dataset not in policy.datasets:
        there = nearest(model.dataset, policy.datasets)
        yield Breach((*path, "dataset"), f"is {model.dataset!r}, which is no dataset", there)
    if not _FUNCTION.fullmatch(model.train):
        yield Breach((*path, "train"), f"is {model.train!r}", "MODULE:FUNCTION, as in pipeline:fit")
    yield from _of_metrics(path, model)
    for metric, rule in model.gate.items():
        yield from _of_gate((*path, "gate", metric), metric, rule)
    yield from _of_rollout((*path, "rollout"), model)
    for index, trigger in enumerate(model.retrain.on):
        if trigger not in TRIGGERS[:3] and not _SCHEDULE.fullmatch(trigger):
            where = (*path, "retrain", "on", str(index))
            expected = nearest(trigger.partition(" ")[0], TRIGGERS)
            if trigger.startswith("schedule"):
                expected = "five fields of a schedule in UTC, as in 'schedule: 0 3 * * 1'"
            yield Breach(where, f"is {trigger!r}", expected)
    for index, redacted in enumerate(model.serving.redact):
        if read_redaction(redacted) is None:
            where = (*path, "serving", "redact", str(index))
            yield Breach(where, f"is {redacted!r}", "one of " + ", ".join(map(repr, ACTIONS)))
    if model.monitor.window < model.monitor.block:
        expected = f"at least one block ({model.monitor.block:g} s)"
        yield Breach((*path, "monitor", "window"), f"is {model.monitor.window:g} s", expected)


def _of_metrics(path: Path, model: ModelPolicy) -> Iterator[Breach]:
    known = metrics_of(model.task) if model.task else CLASSIFICATION_METRICS + REGRESSION_METRICS
    kind = f" of {model.task} models" if model.task else ""
    named = [((*path, "metrics", str(i)), metric) for i, metric in enumerate(model.metrics)]
    named += [((*path, "gate", metric), metric) for metric in model.gate if metric not in SANDBOXED]
    if model.rollout.metric is not None:
        named.append(((*path, "rollout", "metric"), model.rollout.metric))
    for where, metric in named:
        if metric not in known:
            yield Breach(
                where, f"names {metric!r}, which is no metric{kind}", nearest(metric, known)
            )


def _of_gate(path: Path, metric: str, rule: GateRule) -> Iterator[Breach]:
    sandboxed = metric in SANDBOXED
    limits = (rule.min, rule.max, rule.max_ratio)
    if limits == (None, None, None) and not rule.beats_champion:
        expected = "max or max_ratio" if sandboxed else "min, max or beats_champion = true"
        yield Breach(path, "asks for nothing", expected)
    if sandboxed and rule.beats_champion:
        where = (*path, "beats_champion")
        yield Breach(where, "is true", f"max or max_ratio: {metric} has no paired test")
    if not sandboxed and rule.max_ratio is not None:
        where = (*path, "max_ratio")
        expected = f"beats_champion: factors are for {', '.join(SANDBOXED)}"
        yield Breach(where, f"is {rule.max_ratio:g}", expected)
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        yield Breach((*path, "min"), f"is {rule.min:g}", f"at most the rule's max, {rule.max:g}")
    for key, value in (("min", rule.min), ("max", rule.max)):
        if metric in _UNIT_METRICS and value is not None and not 0 <= value <= 1:
            yield Breach((*path, key), f"is {value:g}", f"0 to 1, as {metric} is")


def _of_rollout(path: Path, model: ModelPolicy) -> Iterator[Breach]:
    metric = model.rollout.metric
    if metric in CLASSIFICATION_METRICS + REGRESSION_METRICS and metric not in ROW_METRICS:
        expected = f"a metric that is a mean over rows: {', '.join(ROW_METRICS)}"
        yield Breach((*path, "metric"), f"is {metric!r}", expected)
    if model.rollout.on_shift != "report" and model.rollout.max_shift is None:
        expected = "max_shift beside it, the difference that is allowed"
        yield Breach((*path, "on_shift"), f"is {model.rollout.on_shift!r}", expected)
    steps = model.rollout.steps
    if not steps or steps[-1] != 100 or list(steps) != sorted(set(steps)):
        yield Breach(
            (*path, "steps"), f"is {list(steps)!r}", "growing percentages that end with 100"
        )


def _shared_endpoints(policy: Policy) -> Iterator[Breach]:
    owners: dict[str, str] = {}
    for name, model in policy.models.items():
        endpoint = model.serving.endpoint or name
        owner = owners.setdefault(endpoint, name)
        if owner != name:
            path = ("models", name, "serving", "endpoint")
            yield Breach(path, f"is {endpoint!r}", f"an endpoint that model {owner!r} does not use")


def _inside(path: str) -> bool:
    """Whether a path stays below the folder that it is relative to, on any system."""
    pure = PurePosixPath(path)
    return (
        bool(path.strip())
        and "\0" not in path
        and not pure.is_absolute()
        and not PureWindowsPath(path).drive
        and ".." not in pure.parts
    )
