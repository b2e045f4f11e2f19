"""What commands say about alerts and incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.cli.output import Output, cell

if TYPE_CHECKING:
    from tidemill.loop.incidents.records import Account
    from tidemill.monitoring.alerts.records import Alert

_MARKS = {"bad": "!", "warn": "~", "good": "+", "plain": "·"}


def alert_summary(alert: Alert, output: Output) -> None:
    """Tell of one alert."""
    state = f"{alert.status} since {cell(alert.fired)}"
    if alert.resolved is not None:
        state = f"over since {cell(alert.resolved)}: {alert.ending}"
    output.write(f"Alert {alert.number}  {alert.severity}  {alert.endpoint or alert.subject}")
    output.write(alert.message)
    rows: list[tuple[str, object]] = [
        ("status", state),
        ("rule", alert.rule),
        ("incident", alert.incident),
        ("fired first", alert.opened),
        ("came again", alert.reopened),
        ("told", alert.told),
        ("fingerprint", alert.fingerprint),
    ]
    if alert.value is not None:
        rows.append(("value", f"{alert.value:.4g}, held against {cell(alert.limit)}"))
    if alert.acknowledged is not None:
        taken = alert.acknowledged
        rows.append(("taken by", f"{taken.by}, {cell(taken.time)} {taken.note}".strip()))
    output.table(("", ""), rows)


def account_of(account: Account, output: Output) -> None:
    """Tell of an incident, from its first alert to its end."""
    incident = account.incident
    state = "fires"
    if incident.resolved is not None:
        state = f"over since {cell(incident.resolved)}, after {_span(account)}"
    output.write(f"Incident {incident.number}  {incident.severity}  {incident.subject}  {state}")
    output.write(incident.title)
    output.write("")
    known = {m.fact: i for i, m in enumerate(account.moments, 1)}
    rows = []
    for number, m in enumerate(account.moments, 1):
        because = f"← {known[m.cause]}" if m.cause in known else ""
        rows.append((number, m.time, _MARKS[m.tone], m.title, because, m.text))
    output.table(("", "when", "", "what", "because", ""), rows)


def _span(account: Account) -> str:
    incident = account.incident
    assert incident.resolved is not None
    seconds = (incident.resolved - incident.opened).total_seconds()
    for length, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            many = round(seconds / length)
            return f"{many} {name}{'' if many == 1 else 's'}"
    return f"{seconds:.0f} seconds"
