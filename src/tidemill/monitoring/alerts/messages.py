"""What is said about an alert, in words."""

from __future__ import annotations

from tidemill.monitoring.alerts.records import FIGURE, Alert, Message, Sent

_WORDS = {
    "drift": "inputs moved",
    "prediction-drift": "answers moved",
    "performance": "quality fell",
    "estimated-performance": "quality probably fell",
    "estimator": "estimates cannot be believed",
    "concept": "inputs and labels are related otherwise",
    "silence": "silence",
    "quality": "values break the contract",
    "skew": "serving differs from training",
    "health": "the system is short of something",
    "training-failed": "a training failed",
    "gate-held": "a candidate was held back",
    "log-lost": "predictions were not logged",
    "log-damaged": "the prediction log is damaged",
    "rolled-back": "a candidate was rolled back",
    "promoted": "a version was promoted",
    "data-refused": "data were refused",
}


def title_of(alert: Alert) -> str:
    """Return one line that says where and what.

    Findings of kinds that are not known here keep their name.
    """
    where = alert.endpoint or alert.model or alert.subject.partition(":")[2] or alert.subject
    what = alert.about if alert.kind == FIGURE else _WORDS.get(alert.kind, alert.kind)
    rule = "" if alert.rule == alert.kind else f" ({alert.rule})"
    return f"{where}: {what}{rule}"


def message_of(alert: Alert, status: Sent, *, page: str = "") -> Message:
    """Return what sinks are told of an alert, not named yet."""
    over = status == "resolved"
    return Message(
        id="",
        status=status,
        severity=alert.told_severity or alert.severity if over else alert.severity,
        title=title_of(alert),
        text=_ending(alert) if over else alert.message,
        number=alert.number,
        incident=alert.incident,
        fingerprint=alert.fingerprint,
        kind=alert.kind,
        rule=alert.rule,
        subject=alert.subject,
        endpoint=alert.endpoint,
        model=alert.model,
        version=alert.version,
        value=alert.value,
        limit=alert.limit,
        opened=alert.opened,
        time=alert.resolved if over and alert.resolved is not None else alert.fired,
        link=f"{page}/page/incidents.html#{alert.incident}" if page else "",
    )


def _ending(alert: Alert) -> str:
    said = alert.message in alert.ending
    return alert.ending if said else f"{alert.ending} It was: {alert.message}"


def heading(message: Message) -> str:
    """Return the first line of a message for people.

    Example:
        >>> from datetime import UTC, datetime
        >>> day = datetime(2013, 4, 3, tzinfo=UTC)
        >>> heading(Message(id="1", status="resolved", severity="critical", number=7, incident=3,
        ...     title="taxis: quality fell", text="", fingerprint="", kind="performance",
        ...     rule="performance", subject="endpoint:taxis", opened=day, time=day))
        '[over] taxis: quality fell'
    """
    tag = {"resolved": "over", "test": "test"}.get(message.status, message.severity)
    return f"[{tag}] {message.title}"


def body(message: Message) -> str:
    """Return the rest of a message for people."""
    lines = [message.text, ""]
    if message.status != "test":
        lines.append(f"Alert {message.number}, since {message.opened:%Y-%m-%d %H:%M} UTC.")
        lines.append(message.link or f"tidemill monitor incident {message.incident}")
    return "\n".join(lines).strip()
