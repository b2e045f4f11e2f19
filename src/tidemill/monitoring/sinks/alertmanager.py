"""Hands alerts to a Prometheus Alertmanager, by its API v2, so that its routes tell of them.

Alertmanager forgets an alert that is not sent again unless its end is known. Tidemill says so
itself when an alert is over, so that one that fires is given an end far away.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tidemill.core.findings import SEVERITIES, Severity
from tidemill.monitoring.alerts.errors import SinkFailed
from tidemill.monitoring.alerts.protocol import Sink, SinkSettings
from tidemill.monitoring.alerts.records import Message
from tidemill.monitoring.egress import post

_FAR = timedelta(days=365)
_SOON = timedelta(minutes=1)
_PATH = "/api/v2/alerts"
_UNNAMED = re.compile(r"[^A-Za-z0-9]+")


class AlertmanagerSink:
    """Posts to one Alertmanager."""

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        self._url = settings.url.rstrip("/").removesuffix(_PATH) + _PATH

    def send(self, message: Message) -> None:
        """Post a message."""
        answer = post(
            self._url,
            msgspec.json.encode(alerts_of(message, datetime.now(UTC))),
            {"Content-Type": "application/json", "User-Agent": "tidemill"},
            timeout=self._settings.timeout,
            allow_private=self._settings.allow_private,
        )
        if answer.status != 200:
            said = answer.body[:200].decode(errors="replace").strip()
            raise SinkFailed(f"Alertmanager answered with status {answer.status}: {said}")


def alerts_of(message: Message, now: datetime) -> list[dict[str, Any]]:
    """Return a message as Alertmanager has it.

    Severity is a label, by which people route, and labels are what tells alerts apart there; so
    the alert of the severity that holds is said to fire, and those of the others to be over.
    """
    if message.status == "test":
        return [_alert(message, message.severity, message.opened, now + _SOON)]
    return [
        _alert(
            message,
            severity,
            message.opened,
            now + _FAR
            if message.status == "firing" and severity == message.severity
            else min(message.time, now),
        )
        for severity in SEVERITIES
    ]


def _alert(
    message: Message, severity: Severity, begins: datetime, ends: datetime
) -> dict[str, Any]:
    labels = {
        "alertname": f"Tidemill{_camel(message.kind)}",
        "severity": severity,
        "kind": message.kind,
        "rule": message.rule,
        "fingerprint": message.fingerprint,
        "subject": message.subject,
        "endpoint": message.endpoint,
        "model": message.model,
    }
    annotations = {
        "summary": message.title,
        "description": message.text,
        "incident": str(message.incident),
        "message_id": message.id,
    }
    return {
        "labels": {k: v for k, v in labels.items() if v},
        "annotations": annotations,
        "startsAt": min(begins, ends).isoformat(),
        "endsAt": ends.isoformat(),
        **({"generatorURL": message.link} if message.link else {}),
    }


def _camel(kind: str) -> str:
    """Return a kind as alert names are written.

    Example:
        >>> _camel("estimated-performance")
        'EstimatedPerformance'
    """
    return "".join(part.capitalize() for part in _UNNAMED.split(kind))


def open_sink(settings: SinkSettings) -> Sink:
    """Open the sink."""
    return AlertmanagerSink(settings)


PLUGIN = open_sink
