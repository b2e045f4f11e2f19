"""The page of an endpoint, in a real browser: what it shows, and that its buttons ask first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.control_plane import ControlPlane
from tests.loop.conftest import Register, graphs, register
from tests.server.browser import CHROMIUM, Browser

from tidemill.home import Home
from tidemill.predictions.records import ShadowExample
from tidemill.server.operations import Operations
from tidemill.serving.evidence import ShadowReport, Verdict

FIXTURES = (graphs, register)
MOMENT = datetime(2013, 3, 4, tzinfo=UTC)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No browser is installed; on Debian: apt-get install chromium")
    opened = Browser(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def server(tmp_path: Path, register: Register) -> Iterator[ControlPlane]:
    """A home with an endpoint `m` in the middle of a rollout, and a shadow."""
    with Home.open(tmp_path / "home") as home:
        for kind in ("good", "contrary", "good"):
            register(home, kind)
        operations = Operations(home)
        operations.deploy("model:m@1")
        operations.deploy("model:m@2", percent=30)
        operations.shadow("model:m@3")
        rollout = home.deployments.rollouts("m")[0]
        for look in range(1, 13):
            verdict = Verdict(
                action="hold",
                code="watching",
                reason="The step is watched for another <b>hour</b>.",
                numbers={
                    "error_rate": 0.01 / look,
                    "champion_error_rate": 0.001,
                    "loss_difference": 0.02,
                    "low": 0.02 - 0.3 / look,
                    "high": 0.02 + 0.3 / look,
                    "labels": 50.0 * look,
                },
            )
            home.looks.record(rollout, verdict, actor="loop")
        report = ShadowReport(
            endpoint="m",
            model="m",
            version=3,
            since=MOMENT,
            time=MOMENT + timedelta(hours=1),
            rows=4000,
            requests=1000,
            failed=2,
            agreement=0.975,
            agreement_interval=(0.95, 0.99),
            examples=(
                ShadowExample(
                    prediction="0" * 32,
                    mirrored="1" * 32,
                    said="<i>True</i>",
                    mirrored_said="False",
                    difference=-0.4,
                ),
            ),
        )
        home.shadow_reports.keep(report, actor="loop")
    running = ControlPlane(tmp_path / "home")
    yield running
    running.stop()


@pytest.mark.timeout(300)
def test_an_endpoint_is_shown_and_its_buttons_say_first_what_they_change(
    server: ControlPlane, browser: Browser
) -> None:
    browser.open(f"{server.address}/page/endpoint.html")
    browser.click("#content table a")
    browser.until("!!document.querySelector('.evidence .band')")
    text = browser.run("document.getElementById('content').innerText")
    assert "The step is watched for another <b>hour</b>." in text
    assert "on trial: its share grows as the evidence allows" in text
    assert "97.5%" in text or "98%" in text
    assert "<i>True</i>" in text
    assert browser.run("document.querySelectorAll('#content b i, #content td i').length") == 0
    shares = browser.run("[...document.querySelectorAll('.bar span')].map(s => s.innerText)")
    assert shares == ["version 1 · 70%", "version 2 · 30%"]
    # The band shrinks: it is higher at the first look than at the last.
    band = browser.run("document.querySelector('.evidence .band').getAttribute('d')")
    assert band.count("L") == 23
    for dark in (True, False):
        browser.dark(dark)
        assert browser.picture().startswith(b"\x89PNG")

    def live() -> tuple[int, int | None]:
        found = httpx.get(f"{server.address}/api/endpoints", timeout=20).json()[0]
        return found["champion"]["version"], (found["canary"] or {}).get("version")

    browser.click("#rollback")
    browser.until("!document.getElementById('plan').hidden")
    said = browser.run("document.getElementById('plan').innerText")
    assert "model:m@2 loses its 30% of the traffic; model:m@1 answers everything." in said
    assert live() == (1, 2)
    browser.click("#stay")
    browser.until("document.getElementById('plan').hidden")
    assert live() == (1, 2)

    browser.click("#promote")
    browser.until("!document.getElementById('plan').hidden")
    assert "model:m@2 answers everything at m" in browser.run("document.body.innerText")
    browser.click("#go")
    browser.until("document.querySelector('.bar span').innerText === 'version 2 · 100%'")
    assert live() == (2, None)

    browser.click("#rollback")
    browser.until("!document.getElementById('plan').hidden")
    browser.click("#go")
    browser.until("document.querySelector('.bar span').innerText === 'version 1 · 100%'")
    assert live() == (1, None)
    browser.until("document.getElementById('rollback').disabled")
    browser.open(f"{server.address}/page/endpoint.html#nobody")
    browser.until("(document.getElementById('trouble')?.innerText ?? '').includes(\"'m'\")")
    refused = [m for m in browser.messages if "favicon" not in m and "404" not in m]
    assert refused == []
