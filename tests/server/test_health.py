"""Health of a real server: sampled as it runs, told over HTTP, by the command and on a page."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane import ControlPlane

from tidemill.core.clock import SystemClock
from tidemill.monitoring.health.limits import ENDPOINT
from tidemill.server.traffic import Traffic
from tidemill.server.vitals import counts_of, with_memory
from tidemill.serving.worker.metrics import BUCKETS, Distribution, Sample, Snapshot

from .test_pages import BROWSER, drawn


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlPlane]:
    server = ControlPlane(tmp_path / "home")
    try:
        yield server
    finally:
        server.stop()


def _asked(address: str, query: str = "") -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/api/health{query}") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.timeout(240)
def test_a_running_server_tells_how_it_fares(server: ControlPlane, tmp_path: Path) -> None:
    clock = SystemClock()
    end = clock.monotonic() + 100
    while True:
        found = _asked(server.address)
        series = {(s["subject"], s["figure"]): s for s in found["series"]}
        # The second sample knows rates, too.
        if ("control plane", "requests") in series or clock.monotonic() > end:
            break
        clock.sleep(0.5)
    assert series["control plane", "requests"]["points"][-1][1] > 0
    assert series["control plane", "memory"]["points"][-1][1] > 10e6
    assert series["worker 0", "memory"]["points"][-1][1] > 10e6
    assert 0 <= series["machine", "cpu"]["points"][-1][1] <= 1
    assert series["disk", "free"]["unit"] == "bytes"
    assert _asked(server.address, "?since=3d")["seconds"] % 600 == 0
    command = [sys.executable, "-m", "tidemill", "monitor", "health", "--since", "6h"]
    said = subprocess.run(
        [*command, "--home", str(tmp_path / "home")], capture_output=True, text=True, check=True
    ).stdout
    assert "control plane" in said
    wrong = subprocess.run(
        [*command[:-1], "yesterday", "--home", str(tmp_path / "home")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert "since is 'yesterday'" in wrong.stderr
    if BROWSER is not None:
        page = drawn(f"{server.address}/page/health.html", tmp_path)
        assert "<h2>control plane</h2>" in page
        assert 'class="c0" d="M' in page
        assert "latency, 99th percentile" in page


def test_workers_counts_are_told_by_endpoint_and_no_shadow_is_among_them() -> None:
    def labels(role: str) -> tuple[tuple[str, str], ...]:
        return (("endpoint", "taxis"), ("version", "1"), ("role", role))

    taken = [0] * (len(BUCKETS) + 1)
    taken[3] = 4
    snapshot = Snapshot(
        [
            Sample("tidemill_requests_total", (*labels("champion"), ("status", "ok")), 5),
            Sample("tidemill_requests_total", (*labels("canary"), ("status", "error")), 2),
            Sample("tidemill_requests_total", (*labels("shadow"), ("status", "error")), 9),
            Sample("tidemill_refused_total", (("endpoint", "taxis"), ("status", "400")), 3),
            Sample("tidemill_refused_total", (("endpoint", "taxis"), ("status", "429")), 1),
            Sample("tidemill_refused_total", (("endpoint", "?"), ("status", "404")), 8),
            Sample(
                "tidemill_violations_total",
                (("endpoint", "taxis"), ("column", "late by"), ("rule", "range")),
                3,
            ),
            Sample("tidemill_rows_waiting", (("worker", "1"),), 6),
            Sample("tidemill_model_restarts_total", (("worker", "0"), *labels("")[:2]), 2),
            Sample("tidemill_model_restarts_total", (("worker", "1"), *labels("")[:2]), 1),
            Sample("tidemill_log_dropped_total", (), 7),
        ],
        [
            Distribution("tidemill_request_seconds", labels("champion"), taken, 0.1),
            Distribution("tidemill_request_seconds", labels("canary"), taken, 0.1),
            Distribution("tidemill_request_seconds", labels("shadow"), taken, 0.1),
        ],
    )
    found = counts_of(snapshot, restarts=1)
    subject = f"{ENDPOINT}taxis"
    assert found.counts == {
        "workers/restarts": 1.0,
        "workers/lost": 7.0,
        f"{subject}/requests": 7.0,
        f"{subject}/errors": 2.0,
        f"{subject}/refused": 3.0,
        f"{subject}/turned away": 1.0,
        f"{subject}/restarts": 3.0,
        f"{subject}/refused for late by range": 3.0,
    }
    assert found.gauges == {"worker 1/waiting": 6.0}
    assert found.durations[f"{subject}/latency"].counts[3] == 8.0


class Workers:
    """As much of a supervisor as is asked about memory."""

    memory_mb: float | None = None
    needed_mb = 90.0
    outgrown = 2


def test_workers_that_were_replaced_for_their_memory_are_told_apart_from_those_that_ended() -> None:
    found, workers = counts_of(Snapshot([], []), restarts=5), Workers()
    assert with_memory(found, workers) == found
    workers.memory_mb = 500.0
    told = with_memory(found, workers)
    assert told.counts["workers/restarts"] == 3.0
    assert told.counts["workers/outgrown"] == 2.0
    assert told.gauges == {"workers/limit": 500.0 * (1 << 20), "workers/needed": 90.0 * (1 << 20)}


async def _nothing(*_: Any) -> None:
    return None


def test_a_request_that_breaks_off_counts_as_an_error() -> None:
    import asyncio

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bad":
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": 200})

    traffic = Traffic(broken, SystemClock())
    asyncio.run(traffic({"type": "http", "path": "/"}, _nothing, _nothing))
    with pytest.raises(RuntimeError):
        asyncio.run(traffic({"type": "http", "path": "/bad"}, _nothing, _nothing))
    counts = traffic.counts().counts
    assert counts == {"control plane/requests": 2.0, "control plane/errors": 1.0}
