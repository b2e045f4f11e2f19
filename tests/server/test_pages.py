"""The pages, in a real browser: what is drawn is what the server says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest
from tests.control_plane import ControlPlane

import tidemill as tm
from tidemill.core.references import Ref
from tidemill.home import Home
from tidemill.monitoring import store
from tidemill.monitoring.events import FindingRaised
from tidemill.monitoring.records import Finding, WindowReport

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--virtual-time-budget=8000",
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    if BROWSER is None:
        pytest.skip("No browser is installed.")
    server = ControlPlane(tmp_path / "home")
    monkeypatch.setenv("TIDEMILL_TRACKING_URI", server.address)
    monkeypatch.setenv("TIDEMILL_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TIDEMILL_CAPTURE", "0")
    try:
        yield server
    finally:
        server.stop()


def drawn(address: str, folder: Path) -> str:
    """Return the page as it stands after its script has run."""
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'browser'}", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


@pytest.mark.timeout(300)
def test_runs_are_listed_looked_at_and_compared(server: ControlPlane, tmp_path: Path) -> None:
    ids = []
    for depth in (2, 3):
        with tm.start_run(run_name=f"depth <b>{depth}</b>") as run:
            tm.log_param("depth", depth)
            for step in range(5):
                tm.log_metric("loss", 1 / (step + depth), step=step)
            tm.log_text("hello", "notes.txt")
        ids.append(run.id)
    listed = drawn(f"{server.address}/page/runs.html", tmp_path)
    assert "depth &lt;b&gt;2&lt;/b&gt;" in listed
    assert "2 found" in listed
    one = drawn(f"{server.address}/#/experiments/0/runs/{ids[0]}", tmp_path)
    assert "notes.txt" in one
    assert len(re.findall(r"<path d=\"M[^\"]+L[^\"]+\" class=\"c0\"", one)) == 1
    both = drawn(f"{server.address}/page/runs.html#compare/{','.join(ids)}", tmp_path)
    assert "2 runs compared" in both
    assert 'class="c1"' in both
    assert '<tr class="differs"><td>depth</td>' in both


@pytest.mark.timeout(300)
def test_a_run_shows_what_it_read_wrote_and_belongs_to(
    server: ControlPlane, tmp_path: Path
) -> None:
    outer = tm.start_run(run_name="outer", description="said <i>so</i>")
    with outer, tm.start_run(run_name="inner", nested=True) as inner:
        pass
    core = f"{server.address}/api/2.0/mlflow"
    told = httpx.post(f"{core}/logged-models", json={"experiment_id": "0", "name": "net"}).json()
    model = told["model"]["info"]["model_id"]
    httpx.put(
        f"{core}-artifacts/artifacts/0/models/{model}/artifacts/MLmodel", content=b"x"
    ).raise_for_status()
    read = {"dataset": {"name": "rows", "digest": "d1", "source_type": "local", "source": "x"}}
    for path, body in (
        ("log-inputs", {"datasets": [read]}),
        ("outputs", {"models": [{"model_id": model, "step": 0}]}),
    ):
        given = {"run_id": outer.id} | body
        httpx.post(f"{core}/runs/{path}", json=given).raise_for_status()
    page = f"{server.address}/page/runs.html#runs/"
    shown = drawn(f"{page}{outer.id}", tmp_path)
    for text in ("said &lt;i&gt;so&lt;/i&gt;", "rows<small> d1", "net<small>", "MLmodel", "inner"):
        assert text in shown
    assert ">outer</a>" in drawn(f"{page}{inner.id}", tmp_path)
    missing = drawn(f"{page}{'0' * 32}", tmp_path)
    assert f"Run with id={'0' * 32} not found" in missing.partition("</section>")[2]


@pytest.mark.timeout(120)
def test_an_empty_home_says_what_to_do(server: ControlPlane, tmp_path: Path) -> None:
    assert "Nothing is deployed yet" in drawn(server.address, tmp_path)
    assert "No run is like that" in drawn(f"{server.address}/page/runs.html", tmp_path)


@pytest.mark.timeout(300)
def test_a_model_is_followed_to_its_run_and_its_rows(tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("No browser is installed.")
    project = tmp_path / "project"
    project.mkdir()
    for command in ("init", "run"):
        subprocess.run([sys.executable, "-m", "tidemill", command], cwd=project, check=True)
    with Home.open(project / ".tidemill") as home:
        now = home.clock.now()
        for weeks, predictions, quality in ((2, 100, {"roc_auc": 0.97}), (1, 0, {})):
            report = a_window(
                now - timedelta(weeks=weeks), quality, predictions, endpoint="model", model="model"
            )
            home.db.write(partial(store.set_window, report=report))
    server = ControlPlane(project / ".tidemill")
    try:
        overview = drawn(server.address, tmp_path)
        assert f"nobody has asked since {now - timedelta(weeks=1):%Y-%m-%d}" in overview
        assert "<dt>roc_auc</dt><dd>0.970" in overview
        models = drawn(f"{server.address}/page/models.html", tmp_path)
        assert "champion → 1" in models
        one = drawn(f"{server.address}/page/models.html#model/1", tmp_path)
        assert re.search(r"verified on \d+ rows", one)
        assert re.findall(r"<title>dataset:rows@\w+ trained run:\w+</title>", one)
        assert "<title>model:model@1 serves endpoint:model</title>" in one
        version = json.load(urlopen(f"{server.address}/api/datasets"))[0]["version"]
        columns = drawn(f"{server.address}/page/data.html#rows/{version}", tmp_path)
        assert "569 rows in 1 files" in columns
        assert columns.count('class="spread"') == 30
        assert "There is no model" in drawn(f"{server.address}/page/models.html#nobody/7", tmp_path)
    finally:
        server.stop()


@pytest.mark.timeout(300)
def test_an_incident_is_drawn_with_its_figures_and_can_be_acknowledged_and_silenced(
    tmp_path: Path,
) -> None:
    if BROWSER is None:
        pytest.skip("No browser is installed.")
    with Home.open(tmp_path / "home") as home:
        an_incident(home)
    server = ControlPlane(tmp_path / "home")
    try:
        listed = drawn(f"{server.address}/page/incidents.html", tmp_path)
        assert "1 open, 1 in all" in listed
        assert "recall fell &lt;b&gt;0.48 → 0.12&lt;/b&gt;; <code>temp</code> moved" in listed
        assert ">incident 1</a>" in drawn(server.address, tmp_path)
        one = drawn(f"{server.address}/page/incidents.html#1", tmp_path)
        assert 'aria-label="what happened, by time"' in one
        assert 'aria-label="recall by window"' in one
        assert len(re.findall('class="event bad"', one)) == 2
        assert 'class="because" d="M' in one
        assert "because of 1" in one
        assert "Acknowledge</button>" in one
        with httpx.Client(base_url=server.address) as http:
            http.post("/api/acknowledge", json={"number": 1}).raise_for_status()
            asked = {"alert": 1, "lasting": "2h", "reason": "we know"}
            http.post("/api/silence", json=asked).raise_for_status()
        one = drawn(f"{server.address}/page/incidents.html#1", tmp_path)
        assert "taken by user:local" in one
        assert "Silenced until" in one
        assert "we know" in drawn(f"{server.address}/page/incidents.html", tmp_path)
    finally:
        server.stop()


def an_incident(home: Home) -> None:
    """Have a fall of quality found, in a home that has its windows."""
    now = home.clock.now()
    week = timedelta(days=7)
    about = {"endpoint": "taxis", "model": "taxi", "version": 1}
    finding = Finding(
        kind="performance",
        severity="critical",
        since=now - week,
        until=now,
        message="recall fell <b>0.48 → 0.12</b>; `temp` moved",
        **about,
    )
    subject = Ref("endpoint", "taxis")
    home.journal.record(FindingRaised(finding=finding), subject=subject, actor="monitoring")
    for number, value in enumerate([0.48, 0.47, 0.12]):
        report = a_window(now - (3 - number) * week, {"recall": value}, **about)
        home.db.write(partial(store.set_window, report=report))
    home.alerts.tick()


def a_window(
    since: datetime,
    realised: dict[str, float],
    predictions: int = 100,
    *,
    endpoint: str,
    model: str,
    version: int = 1,
) -> WindowReport:
    """Return a week in which nothing but quality was looked at."""
    return WindowReport(
        endpoint=endpoint,
        model=model,
        version=version,
        since=since,
        until=since + timedelta(weeks=1),
        predictions=predictions,
        errors=0,
        latency_p50_us=1.0,
        latency_p99_us=2.0,
        labelled=predictions,
        coverage=1.0,
        realised=realised,
        intervals={metric: (value - 0.05, value + 0.05) for metric, value in realised.items()},
        estimated=dict.fromkeys(realised, 0.4),
        reference=dict.fromkeys(realised, 0.48),
        columns=(),
        segments=(),
    )
