"""Writes the policy's rules as a Prometheus rules file, for those who alert by Prometheus.

The figures are those of the control plane's `/metrics`. A rule over a figure that is not among them
asks for the alert that Tidemill itself makes of it.
"""

from __future__ import annotations

from typing import Any

import yaml

from tidemill.core.policy import AlertPolicy, AlertRule
from tidemill.core.policy.alerting import QUALITY

GROUP = "tidemill"
_SOURCES = {"realised": "realized", "estimated": "estimated"}
_HEAD = "# Written by `tidemill monitor rules` from tidemill.toml; write it again after changes.\n"


def prometheus_rules(policy: AlertPolicy) -> str:
    """Return the text of a rules file.

    Example:
        >>> policy = AlertPolicy(rules={"low": AlertRule(metric="recall", below=0.4, hold=3600.0)})
        >>> "for: 3600000ms" in prometheus_rules(policy)
        True
    """
    rules = [_of_rule(n, r) for n, r in policy.rules.items() if r.severity != "ignore"]
    groups = [{"name": GROUP, "rules": [*rules, *_own()]}]
    text: str = yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)
    return _HEAD + text


def _of_rule(name: str, rule: AlertRule) -> dict[str, Any]:
    figure = None if rule.metric is None else _figure(rule, rule.metric)
    if figure is None:
        return _alert(
            name,
            f"max by (endpoint, model, kind, severity) (tidemill_alerts{_matching(rule=name)}) > 0",
            # The alert itself has waited as long as the rule says.
            hold=0.0,
            severity=rule.severity or "{{ $labels.severity }}",
            summary="{{ $labels.kind }} at {{ $labels.endpoint }}, model {{ $labels.model }}",
        )
    limits = [
        f"{figure} {sign} {limit:.12g}"
        for sign, limit in (("<", rule.below), (">", rule.above))
        if limit is not None
    ]
    return _alert(
        name,
        " or ".join(limits),
        hold=rule.hold,
        severity=rule.severity or "warning",
        summary=f"{rule.metric} at {{{{ $labels.endpoint }}}} is {{{{ $value | humanize }}}}",
    )


def _figure(rule: AlertRule, metric: str) -> str | None:
    chosen: dict[str, str] = {}
    for key, names in (("endpoint", rule.endpoints), ("model", rule.models)):
        if names:
            chosen[key] = "|".join(names)
    by = "by (endpoint, model, version)"
    if metric in QUALITY:
        kind = _SOURCES[rule.source]
        return f"min {by} (tidemill_performance{_matching(chosen, kind=kind, metric=metric)})"
    if metric == "coverage":
        return f"min {by} (tidemill_label_coverage_ratio{_matching(chosen)})"
    if metric == "drift":
        return f"max {by} (tidemill_drift_score{_matching(chosen)})"
    if metric.startswith("drift."):
        feature = metric.removeprefix("drift.")
        return f"max {by} (tidemill_drift_score{_matching(chosen, feature=feature)})"
    return None


def _own() -> list[dict[str, Any]]:
    """Return what everybody should know of Tidemill itself."""
    return [
        _alert(
            "critical-alert",
            'max by (endpoint, model, kind) (tidemill_alerts{severity="critical"}) > 0',
            hold=0.0,
            severity="critical",
            summary="{{ $labels.kind }} at {{ $labels.endpoint }}, model {{ $labels.model }}",
        ),
        _alert(
            "messages-given-up",
            'tidemill_alert_deliveries{status="dead"} > 0',
            hold=0.0,
            severity="critical",
            summary="{{ $value }} messages about alerts could not be delivered",
        ),
        _alert(
            "silent",
            "absent(tidemill_alert_deliveries)",
            hold=300.0,
            severity="critical",
            summary="Tidemill's control plane gives no figures",
        ),
    ]


def _alert(name: str, expr: str, *, hold: float, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": "Tidemill" + "".join(p.capitalize() for p in name.replace("_", "-").split("-")),
        "expr": expr,
        **({"for": f"{round(hold * 1000)}ms"} if hold else {}),
        "labels": {"severity": severity, "rule": name},
        "annotations": {"summary": summary},
    }


def _matching(chosen: dict[str, str] | None = None, **exact: str) -> str:
    """Return label matchers; of several names, by a pattern."""
    parts = [f"{k}={_quoted(v)}" for k, v in exact.items()]
    for key, names in (chosen or {}).items():
        escaped = "|".join(_escaped(n) for n in names.split("|"))
        parts.append(f"{key}=~{_quoted(escaped)}")
    return f"{{{','.join(sorted(parts))}}}" if parts else ""


def _quoted(text: str) -> str:
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{inner}"'


def _escaped(name: str) -> str:
    """Return a name as a pattern that is only that name. Names have dots, and no other mark."""
    return name.replace(".", "\\.")
