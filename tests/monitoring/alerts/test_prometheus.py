"""The rules file, read by Prometheus' own program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tidemill.core.policy import AlertPolicy, AlertRule
from tidemill.monitoring.alerts.prometheus import prometheus_rules

PROMTOOL = shutil.which("promtool")
POLICY = AlertPolicy(
    rules={
        "low-recall": AlertRule(
            metric="recall", below=0.4, models=("a.b", "c"), hold=1209600.0, severity="critical"
        ),
        "guess": AlertRule(metric="mae", above=3, source="estimated"),
        "unlabelled": AlertRule(metric="coverage", below=0.5),
        "moved": AlertRule(metric='drift.te"mp', above=0.3),
        "any": AlertRule(metric="drift", above=0.3, endpoints=("x",)),
        "slow": AlertRule(metric="latency_p99_ms", above=100, below=-1),
        "kinds": AlertRule(on=("drift", "rolled-back")),
        "calm": AlertRule(on=("skew",), severity="ignore"),
    }
)
QUALITY = 'tidemill_performance{endpoint="taxis",version="3",metric="recall",kind="realized",model='
ALERT = 'tidemill_alerts{endpoint="taxis",model="a.b",kind="drift",rule="kinds",severity="warning"}'
TEST = f"""
rule_files: [rules.yml]
evaluation_interval: 1h
tests:
- interval: 1h
  input_series:
  - {{series: '{QUALITY}"a.b"}}', values: '0.12x400'}}
  - {{series: '{QUALITY}"axb"}}', values: '0.12x400'}}
  - {{series: '{ALERT}', values: '1x400'}}
  - {{series: 'tidemill_alert_deliveries{{status="dead"}}', values: '0x400'}}
  alert_rule_test:
  - {{eval_time: 13d, alertname: TidemillLowRecall, exp_alerts: []}}
  - eval_time: 15d
    alertname: TidemillLowRecall
    exp_alerts:
    - exp_labels:
        {{severity: critical, rule: low-recall, endpoint: taxis, model: a.b, version: '3'}}
      exp_annotations: {{summary: recall at taxis is 120m}}
  - eval_time: 1d
    alertname: TidemillKinds
    exp_alerts:
    - exp_labels: {{severity: warning, rule: kinds, endpoint: taxis, model: a.b, kind: drift}}
      exp_annotations: {{summary: 'drift at taxis, model a.b'}}
  - {{eval_time: 1d, alertname: TidemillSilent, exp_alerts: []}}
"""


def test_every_rule_but_those_that_ignore_is_in_the_file() -> None:
    (group,) = yaml.safe_load(prometheus_rules(POLICY))["groups"]
    names = {r["labels"]["rule"] for r in group["rules"]}
    assert names >= POLICY.rules.keys() - {"calm"}
    assert "calm" not in names


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed.")
def test_promtool_takes_the_file_and_its_rules_fire_as_ours_would(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    (tmp_path / "rules.yml").write_text(prometheus_rules(POLICY))
    (tmp_path / "test.yml").write_text(TEST)
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "test.yml"]):
        answer = subprocess.run(
            [PROMTOOL, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_without_rules_the_file_tells_of_what_is_critical() -> None:
    text = prometheus_rules(AlertPolicy())
    assert 'tidemill_alerts{severity="critical"}' in text
    assert "tidemill_alert_deliveries" in text
