"""The Grafana dashboard asks for nothing that is not told, and Prometheus understands it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
import yaml
from tests.serving.conftest import Start, bundles, free_port, start, table, target
from tests.serving.test_metrics import eventually

from tidemill.server.board import board
from tidemill.server.metrics import FAMILIES as CONTROL
from tidemill.serving.worker.metrics import FAMILIES as WORKER

__all__ = ["bundles", "start"]
KNOWN = {family.name: family for family in (*WORKER, *CONTROL)}
QUERIES = [t["expr"] for panel in board()["panels"] for t in panel.get("targets", [])]
_WORDS = {"sum", "by", "rate", "increase", "max", "topk", "histogram_quantile", "le"}
_OTHERS = {"tidemill_shadow_dropped_total", "tidemill_performance", "tidemill_drift_score"}
_OTHERS |= {"tidemill_traffic_ratio", "tidemill_label_coverage_ratio"}
"""Metrics of which a worker that has answered a few requests has no series."""


def names_in(query: str) -> set[str]:
    """Return the metrics that a query asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)", " ", query)
    return set(re.findall(r"[a-z_]{2,}", bare)) - _WORDS


def family_of(name: str) -> Any:
    """Return the family that a series belongs to."""
    return KNOWN.get(name) or KNOWN[re.sub(r"_(bucket|sum|count)$", "", name)]


def labels_in(query: str) -> set[str]:
    """Return the labels that a query asks by or for."""
    by = [label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")]
    inside = [
        label
        for group in re.findall(r"\{([^}]*)\}", query)
        for label in re.findall(r"(\w+)(?:=~|!=|=)", group)
    ]
    return {*by, *inside}


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_asks_for_metrics_and_labels_that_are_told(query: str) -> None:
    families = [family_of(name) for name in names_in(query)]
    assert families
    for family in families:
        told = {*family.labels, "le"} if family.kind == "histogram" else set(family.labels)
        assert labels_in(query) <= told, family.name


def test_the_legends_show_labels_that_a_query_keeps() -> None:
    for panel in board()["panels"]:
        for asked in panel.get("targets", []):
            shown = set(re.findall(r"\{\{(\w+)\}\}", asked["legendFormat"]))
            told = {label for name in names_in(asked["expr"]) for label in family_of(name).labels}
            grouped = re.search(r"by \(([^)]*)\)", asked["expr"])
            kept = set(grouped[1].split(", ")) if grouped else told
            assert shown <= kept, asked["expr"]


def test_the_board_is_whole_json_with_panels_that_do_not_overlap(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidemill", "monitor", "grafana"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    written = json.loads(done.stdout)
    assert written == board()
    panels = written["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.fixture
def prometheus(tmp_path: Path, start: Start) -> Iterator[str]:
    """A Prometheus that scrapes a worker which has answered."""
    binary = which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed")
    worker = start(table(1, e=target(1, "one")))
    scrape = {"job_name": "tidemill", "static_configs": [{"targets": [f"127.0.0.1:{worker.port}"]}]}
    config = tmp_path / "prometheus.yml"
    asked = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    config.write_text(yaml.safe_dump(asked))
    address = f"127.0.0.1:{free_port()}"
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    url = f"http://{address}"
    try:

        def has_scraped() -> bool:
            worker.infer(a=[0.5], b=[1.0], c=[3])
            worker.infer("nobody", a=[0.5])
            return len(ask(url, "changes(tidemill_rows_total[1m]) > 2")) > 0

        eventually(lambda: is_ready(url), 60)
        eventually(has_scraped, 60)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def is_ready(url: str) -> bool:
    """Tell whether Prometheus answers queries: it listens before it does."""
    try:
        return httpx.get(f"{url}/-/ready", timeout=20).status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, query: str) -> list[Any]:
    """Return what Prometheus says to a query."""
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=20)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["data"]["result"]
    return found


def test_a_real_prometheus_answers_every_query(prometheus: str) -> None:
    for query in QUERIES:
        asked = query.replace("$endpoint", ".+").replace("$__rate_interval", "1m")
        found = ask(prometheus, asked)
        if not names_in(query) <= _OTHERS:
            assert found, asked
    shown = httpx.get(f"{prometheus}/api/v1/metadata", timeout=20).json()["data"]
    for name in shown.keys() & KNOWN.keys():
        assert shown[name][0]["type"] == KNOWN[name].kind
        assert shown[name][0]["help"] == KNOWN[name].sentence
