"""The control plane's figures in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tidemill.server.operations import Status


def exposition(status: Status) -> bytes:
    """Return a home's figures as Prometheus reads them."""
    registry = CollectorRegistry()
    names = ("endpoint", "model", "version")
    traffic = Gauge("tidemill_traffic_percent", "Share of traffic.", names, registry=registry)
    quality = Gauge(
        "tidemill_performance",
        "Quality in the newest window.",
        (*names, "metric", "kind"),
        registry=registry,
    )
    coverage = Gauge(
        "tidemill_label_coverage_ratio", "Share of labelled predictions.", names, registry=registry
    )
    drift = Gauge(
        "tidemill_drift_score",
        "Effect of drift in the newest window, 0 to 1.",
        (*names, "feature"),
        registry=registry,
    )
    for endpoint in status.endpoints:
        deployment = endpoint.deployment
        live = (deployment.endpoint, deployment.champion.model, str(deployment.champion.version))
        traffic.labels(*live).set(100 - deployment.canary_percent)
        if deployment.canary is not None:
            canary = (*live[:2], str(deployment.canary.version))
            traffic.labels(*canary).set(deployment.canary_percent)
        for window in endpoint.windows[:1]:
            coverage.labels(*live).set(window.coverage)
            for kind, values in (("realized", window.realised), ("estimated", window.estimated)):
                for metric, value in values.items():
                    quality.labels(*live, metric, kind).set(value)
            for column in window.columns:
                drift.labels(*live, column.column).set(column.effect)
    return generate_latest(registry)
