"""The control plane's figures in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tidemill.server.operations import Status
from tidemill.serving.traffic import parts
from tidemill.serving.worker.metrics import Family

_NAMES = ("endpoint", "model", "version")
TRAFFIC = Family("tidemill_traffic_ratio", "gauge", "Share of the traffic, 0 to 1.", _NAMES)
QUALITY = Family(
    "tidemill_performance",
    "gauge",
    "Quality in the newest window.",
    (*_NAMES, "metric", "kind"),
)
COVERAGE = Family(
    "tidemill_label_coverage_ratio",
    "gauge",
    "Share of the newest window's predictions that have labels.",
    _NAMES,
)
DRIFT = Family(
    "tidemill_drift_score",
    "gauge",
    "Effect of drift in the newest window, 0 to 1.",
    (*_NAMES, "feature"),
)
ALERTS = Family(
    "tidemill_alerts",
    "gauge",
    "Alerts that fire.",
    ("endpoint", "model", "kind", "rule", "severity"),
)
DELIVERIES = Family("tidemill_alert_deliveries", "gauge", "Messages about alerts.", ("status",))
FAMILIES = (TRAFFIC, QUALITY, COVERAGE, DRIFT, ALERTS, DELIVERIES)
"""What the control plane tells; `docs/metrics.md` explains each."""


def exposition(status: Status) -> bytes:
    """Return a home's figures as Prometheus reads them."""
    registry = CollectorRegistry()
    gauges = {f: Gauge(f.name, f.sentence, f.labels, registry=registry) for f in FAMILIES}
    for alert in status.alerts:
        name = (alert.endpoint, alert.model, alert.kind, alert.rule, alert.severity)
        gauges[ALERTS].labels(*name).inc()
    for state in ("waiting", "delivered", "dead"):
        gauges[DELIVERIES].labels(state).set(status.deliveries.get(state, 0))
    for endpoint in status.endpoints:
        deployment = endpoint.deployment
        live = (deployment.endpoint, deployment.champion.model, str(deployment.champion.version))
        for part in parts(deployment, 0):
            labels = (live[0], part.model, str(part.version))
            gauges[TRAFFIC].labels(*labels).set(part.percent / 100)
        for window in endpoint.windows[:1]:
            gauges[COVERAGE].labels(*live).set(window.coverage)
            for kind, values in (("realized", window.realised), ("estimated", window.estimated)):
                for metric, value in values.items():
                    gauges[QUALITY].labels(*live, metric, kind).set(value)
            for column in window.columns:
                gauges[DRIFT].labels(*live, column.column).set(column.effect)
    return generate_latest(registry)
