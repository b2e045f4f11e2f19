"""The figures that an incident is about: before, during and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tidemill.core.policy import AlertRule, MonitorPolicy
from tidemill.core.tasks import LOWER_IS_BETTER
from tidemill.loop.incidents.records import Limit, Plot, Point
from tidemill.monitoring.alerts.records import FIGURE, Alert
from tidemill.monitoring.records import WindowReport

BEFORE, AFTER = 8, 4
"""How many windows before an incident and after it are shown."""
_MOST_COLUMNS = 3
_QUALITY = frozenset({"performance", "estimated-performance", "concept", "estimator"})
_DRIFT = frozenset({"drift", "skew"})
Value = Callable[[WindowReport], float | None]


def plots(
    alerts: Sequence[Alert],
    reports: Sequence[WindowReport],
    policy: MonitorPolicy,
    rules: dict[str, AlertRule],
) -> list[Plot]:
    """Return a plot for each figure that the alerts are about.

    Args:
        alerts: Of one incident.
        reports: The endpoint's windows, by time.
        policy: How they are judged.
        rules: The rules of the policy, by name.
    """
    made: dict[str, Plot] = {}
    for alert in alerts:
        if not alert.endpoint:
            continue
        for plot in _of_alert(alert, reports, policy, rules):
            made.setdefault(plot.figure, plot)
    return [p for p in made.values() if any(x.value is not None for x in p.points)]


def shown(reports: Sequence[WindowReport], begin: datetime, end: datetime) -> list[WindowReport]:
    """Return the windows around a stretch, by time."""
    ordered = sorted(reports, key=lambda r: r.since)
    length = max((r.until - r.since for r in ordered), default=timedelta(0))
    return [
        r for r in ordered if r.until > begin - BEFORE * length and r.since < end + AFTER * length
    ]


def _of_alert(
    alert: Alert,
    reports: Sequence[WindowReport],
    policy: MonitorPolicy,
    rules: dict[str, AlertRule],
) -> list[Plot]:
    if alert.kind in _QUALITY:
        metric = _watched(reports)
        return [_quality(metric, reports, policy.performance_drop)] if metric else []
    if alert.kind in _DRIFT:
        return [_effect(c, reports, policy.min_effect) for c in _moved(alert, reports)]
    if alert.kind == FIGURE:
        rule = rules.get(alert.rule)
        return [_figure(alert.about, reports, rule)]
    if alert.kind == "silence":
        return [_plain("predictions", reports, ()), _coverage(reports, policy)]
    return []


def _watched(reports: Sequence[WindowReport]) -> str:
    for report in reversed(reports):
        for values in (report.realised, report.estimated):
            if values:
                return next(iter(values))
    return ""


def _moved(alert: Alert, reports: Sequence[WindowReport]) -> list[str]:
    """Return the columns that moved most while the alert fired."""
    effects: dict[str, float] = {}
    for report in reports:
        if report.until <= alert.seen:
            for column in report.columns:
                if column.drifted:
                    effects[column.column] = max(effects.get(column.column, 0.0), column.effect)
    ranked = sorted(effects, key=lambda c: -effects[c])
    return ranked[:_MOST_COLUMNS]


def _quality(metric: str, reports: Sequence[WindowReport], drop: float) -> Plot:
    points = []
    worse = drop if metric in LOWER_IS_BETTER else -drop
    for report in reports:
        low, high = report.intervals.get(metric, (None, None))
        usual = report.reference.get(metric)
        points.append(
            Point(
                since=report.since,
                until=report.until,
                value=report.realised.get(metric),
                low=low,
                high=high,
                expected=report.estimated.get(metric),
                limit=None if usual is None else usual + worse,
                version=report.version,
            )
        )
    note = f"{drop:g} worse than when the live version was made"
    return Plot(figure=metric, points=tuple(points), note=note)


def _effect(column: str, reports: Sequence[WindowReport], least: float) -> Plot:
    return _plain(f"drift.{column}", reports, (Limit(name="least effect", value=least),))


def _coverage(reports: Sequence[WindowReport], policy: MonitorPolicy) -> Plot:
    limit = Limit(name="asked for", value=policy.min_label_coverage)
    return _plain("coverage", reports, (limit,))


def _figure(name: str, reports: Sequence[WindowReport], rule: AlertRule | None) -> Plot:
    limits = []
    for key in ("below", "above", "recovered"):
        value = None if rule is None else getattr(rule, key)
        if value is not None:
            limits.append(Limit(name=key, value=value))
    source = "realised" if rule is None else rule.source
    return _plain(name, reports, tuple(limits), source)


def _plain(
    name: str, reports: Sequence[WindowReport], limits: tuple[Limit, ...], source: str = "realised"
) -> Plot:
    points = tuple(
        Point(
            since=r.since,
            until=r.until,
            value=_value(r, name, source),
            version=r.version,
        )
        for r in reports
    )
    return Plot(figure=name, points=points, limits=limits)


def _value(report: WindowReport, name: str, source: str) -> float | None:
    kind, _, column = name.partition(".")
    if column:
        known = {c.column: c for c in report.columns}
        if column not in known:
            return None
        return known[column].effect if kind == "drift" else known[column].missing
    figures: dict[str, float] = {
        "predictions": report.predictions,
        "coverage": report.coverage,
        "error_rate": report.errors / max(report.predictions, 1),
        "latency_p50_ms": report.latency_p50_us / 1000,
        "latency_p99_ms": report.latency_p99_us / 1000,
        "drifted_columns": sum(c.drifted for c in report.columns),
    }
    if name == "drift":
        return max((c.effect for c in report.columns), default=None)
    if name in figures:
        return figures[name]
    return (report.realised if source == "realised" else report.estimated).get(name)
