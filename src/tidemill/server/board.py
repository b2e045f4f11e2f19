"""A Grafana dashboard over the metrics of workers and control plane, written from a table.

References:
    https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_SERVED = 'endpoint=~"$endpoint"'
_WIDTH, _HEIGHT = 8, 8


class Panel(msgspec.Struct, frozen=True):
    """One graph.

    Attributes:
        title: Above it.
        unit: Of its values, as Grafana names units.
        queries: Each with the legend of its lines.
        about: What to make of it.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""


def _rate(metric: str, by: str, labels: str = _SERVED) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _quantile(share: float, stage: str, by: str) -> str:
    buckets = _rate(f"tidemill_{stage}_seconds_bucket", f"le, {by}")
    return f"histogram_quantile({share}, {buckets})"


def _mean(stage: str) -> str:
    name = f"tidemill_{stage}_seconds"
    return f"{_rate(f'{name}_sum', 'endpoint')} / {_rate(f'{name}_count', 'endpoint')}"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Traffic",
        (
            Panel(
                "Requests",
                "reqps",
                (
                    (
                        _rate("tidemill_requests_total", "endpoint, version, role"),
                        "{{endpoint}} v{{version}} {{role}}",
                    ),
                ),
            ),
            Panel(
                "Rows",
                "rowsps",
                ((_rate("tidemill_rows_total", "endpoint, version"), "{{endpoint}} v{{version}}"),),
            ),
            Panel(
                "Share of the traffic",
                "percentunit",
                ((f"tidemill_traffic_ratio{{{_SERVED}}}", "{{endpoint}} {{model}} v{{version}}"),),
                "What the control plane wants; the graph of requests shows what is.",
            ),
        ),
    ),
    (
        "Errors",
        (
            Panel(
                "Share of requests that a version failed to answer",
                "percentunit",
                (
                    (
                        _rate(
                            "tidemill_requests_total",
                            "endpoint, version",
                            f'{_SERVED}, status="error"',
                        )
                        + " / "
                        + _rate("tidemill_requests_total", "endpoint, version"),
                        "{{endpoint}} v{{version}}",
                    ),
                ),
                "A canary that fails is answered for by the champion; its failures are here.",
            ),
            Panel(
                "Refused requests",
                "reqps",
                (
                    (
                        _rate(
                            "tidemill_refused_total",
                            "endpoint, status",
                            'endpoint=~"$endpoint|[?]"',
                        ),
                        "{{endpoint}} {{status}}",
                    ),
                ),
                "400: the caller's mistake. 429 and 503: more than the workers can do. 504: late.",
            ),
            Panel(
                "Answers by HTTP status",
                "reqps",
                (
                    (
                        "sum by (status) (rate(tidemill_http_responses_total[$__rate_interval]))",
                        "{{status}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Latency",
        (
            Panel(
                "From a request to its outcome",
                "s",
                tuple(
                    (_quantile(share, "request", "endpoint"), f"{{{{endpoint}}}} {name}")
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
            ),
            Panel(
                "99th percentile by version",
                "s",
                ((_quantile(0.99, "request", "endpoint, version"), "{{endpoint}} v{{version}}"),),
            ),
            Panel(
                "Where the time goes, on average",
                "s",
                tuple(
                    (_mean(stage), f"{{{{endpoint}}}} {stage}")
                    for stage in ("decode", "queue", "inference", "encode")
                ),
            ),
        ),
    ),
    (
        "Workers",
        (
            Panel(
                "Requests in a batch",
                "short",
                (
                    (
                        f"{_rate('tidemill_requests_total', 'endpoint')} / "
                        f"{_rate('tidemill_batches_total', 'endpoint')}",
                        "{{endpoint}}",
                    ),
                ),
            ),
            Panel(
                "Processors",
                "short",
                (
                    (
                        'rate(process_cpu_seconds_total{worker!=""}[$__rate_interval])',
                        "worker {{worker}}",
                    ),
                ),
            ),
            Panel(
                "Memory",
                "bytes",
                (('process_resident_memory_bytes{worker!=""}', "worker {{worker}}"),),
            ),
            Panel("Rows waiting", "short", (("tidemill_rows_waiting", "worker {{worker}}"),)),
            Panel("Connections", "short", (("tidemill_connections", "worker {{worker}}"),)),
            Panel(
                "Lost",
                "short",
                (
                    (
                        "increase(tidemill_log_dropped_total[$__rate_interval])",
                        "records of the log",
                    ),
                    (
                        "sum(increase(tidemill_shadow_dropped_total[$__rate_interval]))",
                        "requests not mirrored",
                    ),
                ),
                "Anything above zero wants looking into: a full disk, or too much load.",
            ),
        ),
    ),
    (
        "Quality",
        (
            Panel(
                "Quality in the newest window",
                "short",
                (
                    (
                        f"tidemill_performance{{{_SERVED}}}",
                        "{{endpoint}} v{{version}} {{metric}} ({{kind}})",
                    ),
                ),
            ),
            Panel(
                "Share of predictions with labels",
                "percentunit",
                ((f"tidemill_label_coverage_ratio{{{_SERVED}}}", "{{endpoint}} v{{version}}"),),
            ),
            Panel(
                "The columns that drift most",
                "short",
                (
                    (
                        f"topk(5, max by (endpoint, feature) (tidemill_drift_score{{{_SERVED}}}))",
                        "{{endpoint}} {{feature}}",
                    ),
                ),
            ),
        ),
    ),
)


def board() -> Json:
    """Return the dashboard, as Grafana imports it."""
    panels: list[Json] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(len(panels) + 1, title, top))
        top += 1
        for at, panel in enumerate(row):
            x, y = at % 3 * _WIDTH, top + at // 3 * _HEIGHT
            panels.append(_panel(len(panels) + 1, panel, x, y))
        top += -(-len(row) // 3) * _HEIGHT
    return {
        "uid": "tidemill-serving",
        "title": "Tidemill",
        "tags": ["tidemill"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _endpoint()]},
        "panels": panels,
    }


def _row(identifier: int, title: str, y: int) -> Json:
    place = {"x": 0, "y": y, "w": 24, "h": 1}
    return {"id": identifier, "type": "row", "title": title, "gridPos": place, "panels": []}


def _panel(identifier: int, panel: Panel, x: int, y: int) -> Json:
    return {
        "id": identifier,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }


def _source() -> Json:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _endpoint() -> Json:
    return {
        "name": "endpoint",
        "label": "Endpoint",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(tidemill_served_info, endpoint)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }
