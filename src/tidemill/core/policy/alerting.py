"""What must hold of `[alerts]`: rules can fire, sinks can be reached, names exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from tidemill.core.errors import nearest
from tidemill.core.findings import HAPPENINGS, KINDS
from tidemill.core.policy.breach import Breach, Path
from tidemill.core.policy.records import AlertPolicy, AlertRule, Policy, SinkPolicy
from tidemill.core.tasks import CLASSIFICATION_METRICS, REGRESSION_METRICS

SINKS = ("log", "webhook", "alertmanager", "apprise")
QUALITY = (*CLASSIFICATION_METRICS, *REGRESSION_METRICS)
FIGURES = (
    "coverage",
    "predictions",
    "error_rate",
    "latency_p50_ms",
    "latency_p99_ms",
    "drift",
    "drifted_columns",
)
"""The figures of a window that are no metric of quality."""
PREFIXES = ("drift.", "missing.", "system.")
"""What figures of single columns, and of the system, begin with."""
LOG = {"log": SinkPolicy(kind="log")}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def sinks_of(policy: AlertPolicy) -> dict[str, SinkPolicy]:
    """Return the sinks of a policy: the log where it has none."""
    return policy.sinks or LOG


def of_alerts(policy: Policy) -> Iterator[Breach]:
    """Go through everything that does not hold of `[alerts]`."""
    alerts, path = policy.alerts, ("alerts",)
    for name, sink in alerts.sinks.items():
        yield from _of_sink((*path, "sinks", name), sink)
    for severity in ("info", "warning", "critical"):
        told = getattr(alerts.routes, severity) or ()
        yield from _of_names((*path, "routes", severity), told, sinks_of(alerts), "sink")
    for name, rule in alerts.rules.items():
        yield from _of_rule((*path, "rules", name), rule, policy)
    if alerts.page is not None and not _is_web(alerts.page):
        yield Breach((*path, "page"), f"is {alerts.page!r}", "an address such as https://host/")


def _of_sink(path: Path, sink: SinkPolicy) -> Iterator[Breach]:
    known = (*SINKS, *(e.name for e in entry_points(group="tidemill.sinks")))
    if sink.kind not in known:
        yield Breach(
            (*path, "kind"), f"is {sink.kind!r}, which is no sink", nearest(sink.kind, known)
        )
    for key in ("url_env", "secret_env"):
        variable = getattr(sink, key)
        if variable is not None and not _VARIABLE.fullmatch(variable):
            # The value is not shown: people put the secret itself here.
            yield Breach((*path, key), "names no variable", "the name of an environment variable")
    addresses = [k for k in ("url", "url_env", "url_file") if getattr(sink, k) is not None]
    secrets = [k for k in ("secret_env", "secret_file") if getattr(sink, k) is not None]
    if sink.kind == "log" and addresses + secrets:
        yield Breach(
            (*path, (addresses + secrets)[0]), "is of no use", "nothing: the log needs none"
        )
    if sink.kind in SINKS[1:] and len(addresses) != 1:
        yield Breach(path, f"has {len(addresses)} addresses", "one of url, url_env and url_file")
    if len(secrets) > 1:
        yield Breach((*path, "secret_file"), "is a second secret", "secret_env or secret_file")
    if sink.kind == "apprise" and sink.url is not None:
        said = "holds what Apprise's addresses hold: passwords and tokens"
        yield Breach((*path, "url"), said, "url_env or url_file")
    elif sink.url is not None and not _is_web(sink.url):
        expected = "an address such as https://host/path, without a name or a password in it"
        yield Breach((*path, "url"), "is no such address", expected)


def _of_rule(path: Path, rule: AlertRule, policy: Policy) -> Iterator[Breach]:
    if bool(rule.on) == bool(rule.metric):
        many = "both kinds and a figure" if rule.on else "neither kinds nor a figure"
        yield Breach(path, f"names {many}", "`on` with kinds, or `metric` with below or above")
    for index, kind in enumerate(rule.on):
        if kind not in (*KINDS, *HAPPENINGS):
            here = (*path, "on", str(index))
            yield Breach(
                here, f"is {kind!r}, which is no kind", nearest(kind, (*KINDS, *HAPPENINGS))
            )
    yield from _of_figure(path, rule)
    yield from _of_names((*path, "models"), rule.models, policy.models, "model")
    endpoints = {m.serving.endpoint or n for n, m in policy.models.items()}
    yield from _of_names((*path, "endpoints"), rule.endpoints, endpoints, "endpoint")
    yield from _of_names((*path, "sinks"), rule.sinks or (), sinks_of(policy.alerts), "sink")


def _of_figure(path: Path, rule: AlertRule) -> Iterator[Breach]:
    limits = [k for k in ("below", "above") if getattr(rule, k) is not None]
    if rule.metric is None:
        for key in (*limits, *(["recovered"] if rule.recovered is not None else [])):
            yield Breach((*path, key), "limits nothing", "a rule with `metric`")
        return
    if not is_figure(rule.metric):
        expected = nearest(rule.metric, (*QUALITY, *FIGURES, *(f"{p}NAME" for p in PREFIXES)))
        yield Breach((*path, "metric"), f"is {rule.metric!r}, which is no figure", expected)
    if not limits:
        yield Breach(path, f"has no limit for {rule.metric}", "below or above")
    if rule.recovered is not None:
        yield from _of_recovery((*path, "recovered"), rule)


def _of_recovery(path: Path, rule: AlertRule) -> Iterator[Breach]:
    assert rule.recovered is not None
    if rule.below is not None and rule.above is not None:
        yield Breach(path, "stands beside two limits", "a rule with one limit")
    elif rule.below is not None and rule.recovered < rule.below:
        yield Breach(path, f"is {rule.recovered:g}", f"at least `below`, {rule.below:g}")
    elif rule.above is not None and rule.recovered > rule.above:
        yield Breach(path, f"is {rule.recovered:g}", f"at most `above`, {rule.above:g}")


def is_figure(name: str) -> bool:
    """Tell whether a rule may name a figure.

    Example:
        >>> is_figure("recall"), is_figure("drift.temp"), is_figure("drift."), is_figure("recal")
        (True, True, False, False)
    """
    prefixed = any(name.startswith(p) and len(name) > len(p) for p in PREFIXES)
    return name in QUALITY or name in FIGURES or prefixed


def _of_names(path: Path, named: Sequence[str], known: object, what: str) -> Iterator[Breach]:
    names = list(known)  # type: ignore[call-overload]
    for index, name in enumerate(named):
        if name not in names:
            said = f"is {name!r}, which is no {what}"
            yield Breach((*path, str(index)), said, nearest(name, names))


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.username is None
            and (parts.port is None or parts.port > 0)
            and not any(c.isspace() or c < " " for c in address)
        )
    except ValueError:
        return False
