"""What a scrape tells: of all workers whichever is asked, and never less than it told before."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.serving.conftest import RunningWorker, Start, table, target, tensors
from tests.serving.test_supervisor import folders

from tidemill.serving.routes import EndpointRoutes, write_routes
from tidemill.serving.supervisor import Supervisor
from tidemill.serving.worker.exposition import FOREIGN
from tidemill.serving.worker.metrics import BUCKETS, FAMILIES, STAGES

BODY = {"inputs": tensors(a=[0.5], b=[1.0], c=[3])}
INFER = "/v2/models/e/infer"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str) -> Series:
    """Return every series of a scrape, as Prometheus' own parser reads it."""
    text = httpx.get(f"{url}/metrics", timeout=20).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    """Return the sum of the series of that name with those labels."""
    wanted = set(labels.items())
    # The parser adds `_total` to counters that, like Triton's, have none.
    names = {name, f"{name}_total"}
    return sum(v for (n, found), v in series.items() if n in names and wanted <= found)


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return once something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_every_request_is_counted_once_and_timed_in_its_stages(start: Start) -> None:
    worker = start(table(1, e=target(1, "one")))
    for _ in range(3):
        assert worker.infer(a=[0.5, 1.0], b=[1.0, 1.0], c=[3, 4]).status_code == 200
    assert worker.infer(a=["x"], b=[1.0], c=[3]).status_code == 400
    assert worker.infer("nobody", a=[0.5]).status_code == 404
    assert worker.http.post("/invocations/e", json={"instances": 1}).status_code == 400
    found = scrape(worker.url)
    served = {"endpoint": "e", "version": "1", "role": "champion"}
    assert value(found, "tidemill_requests_total", **served, status="ok") == 3
    assert value(found, "tidemill_requests_total", **served, status="error") == 0
    assert value(found, "tidemill_rows_total", **served) == 6
    assert value(found, "tidemill_batches_total", **served) == 3
    assert value(found, "tidemill_refused_total", endpoint="e", status="400") == 2
    assert value(found, "tidemill_refused_total", endpoint="?", status="404") == 1
    assert value(found, "tidemill_violations_total", endpoint="e", column="a", rule="type") == 1
    assert value(found, "tidemill_violations_total", endpoint="e", column="?", rule="form") == 1
    assert value(found, "tidemill_http_responses_total", status="400") == 2
    for stage in STAGES:
        name = f"tidemill_{stage}_seconds"
        assert value(found, f"{name}_count", **served) == 3, stage
        assert value(found, f"{name}_bucket", **served, le="+Inf") == 3
        assert value(found, f"{name}_sum", **served) > 0
    whole = value(found, "tidemill_request_seconds_sum")
    parts = [value(found, f"tidemill_{s}_seconds_sum") for s in ("decode", "queue", "inference")]
    assert sum(parts) <= whole
    assert value(found, "tidemill_served_info", **served, model="m") == 1


def test_boards_for_kserve_and_triton_find_their_names(start: Start) -> None:
    worker = start(table(1, e=target(1, "one")))
    for _ in range(4):
        worker.infer(a=[0.5], b=[1.0], c=[3])
    found = scrape(worker.url)
    for stage in ("preprocess", "predict", "postprocess"):
        assert value(found, f"request_{stage}_seconds_count", model_name="e") == 4
    triton = {"model": "e", "version": "1"}
    assert value(found, "nv_inference_request_success", **triton) == 4
    assert value(found, "nv_inference_request_failure", **triton) == 0
    assert value(found, "nv_inference_count", **triton) == 4
    assert 1 <= value(found, "nv_inference_exec_count", **triton) <= 4
    ours = value(found, "tidemill_inference_seconds_sum")
    theirs = value(found, "nv_inference_compute_infer_duration_us", **triton)
    assert theirs == pytest.approx(1e6 * ours, abs=1)


def test_the_text_is_what_prometheus_takes(worker: RunningWorker, tmp_path: Path) -> None:
    worker.infer(a=[0.5], b=[1.0], c=[3])
    text = worker.http.get("/metrics").text
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.type in {"counter", "gauge", "histogram"}
    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert told <= {f.name for f in (*FAMILIES, *FOREIGN)}
    assert list(BUCKETS) == sorted(BUCKETS)
    promtool = which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; only Prometheus' Python parser was asked")
    asked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    ours = [line for line in asked.stderr.splitlines() if line.startswith("tidemill_")]
    assert not ours, asked.stderr
    assert "error while linting" not in asked.stderr


def test_our_names_keep_to_one_scheme() -> None:
    for family in FAMILIES:
        if family.name.startswith("process_"):
            continue
        assert family.name.startswith("tidemill_"), family.name
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.kind != "histogram" or family.name.endswith("_seconds"), family.name
        assert family.sentence.endswith(".")


def test_versions_that_are_served_no_more_are_forgotten(start: Start) -> None:
    worker = start(table(1, e=target(1, "one")))
    worker.infer(a=[0.5], b=[1.0], c=[3])
    write_routes(worker.routes, table(2, e=EndpointRoutes(targets=(target(2, "two"),))))
    eventually(lambda: value(scrape(worker.url), "tidemill_routes_generation") == 2)
    worker.infer(a=[0.5], b=[1.0], c=[3])
    found = scrape(worker.url)
    assert value(found, "tidemill_requests_total", version="2") == 1
    assert not [labels for _, labels in found if ("version", "1") in labels]


@pytest.fixture
def two(tmp_path: Path, bundles: Path) -> Any:
    """Two workers on one port."""
    write_routes(tmp_path / "routes.json", table(1, e=target(1, "one")))
    supervisor = Supervisor(**folders(tmp_path, bundles), workers=2)
    supervisor.start()
    supervisor.wait(1)
    yield supervisor
    supervisor.stop()


def ask(url: str, times: int) -> None:
    """Ask on a connection each, so that both workers get some."""
    for _ in range(times):
        assert httpx.post(url + INFER, json=BODY, timeout=20).status_code == 200


def test_one_scrape_tells_of_all_workers_and_of_those_that_died(two: Supervisor) -> None:
    ask(two.url, 40)
    assert value(scrape(two.url), "tidemill_requests_total", status="ok") == 40
    for worker in ("0", "1"):
        for name in ("process_resident_memory_bytes", "process_cpu_seconds_total"):
            assert value(scrape(two.url), name, worker=worker) > 0
    for count in range(1, 3):
        victim = two.states()[0].pid
        os.kill(victim, signal.SIGKILL)
        eventually(lambda n=count: two.restarts == n)  # type: ignore[misc]
        eventually(lambda: len(two.states()) == 2)
        # The ended worker's counts are in: a sum that falls is a burst in every rate.
        assert value(scrape(two.url), "tidemill_requests_total", status="ok") == 40
    ask(two.url, 10)
    found = scrape(two.url)
    assert value(found, "tidemill_requests_total", status="ok") == 50
    assert value(found, "tidemill_request_seconds_count") == 50
    workers = {dict(labels)["worker"] for n, labels in found if n == "tidemill_connections"}
    assert workers == {"0", "1"}


def test_a_worker_that_hangs_does_not_keep_the_others_from_telling(two: Supervisor) -> None:
    ask(two.url, 20)
    assert value(scrape(two.url), "tidemill_requests_total", status="ok") == 20
    victim = two.states()[0].pid
    os.kill(victim, signal.SIGSTOP)
    try:
        for _ in range(20):
            try:
                text = httpx.get(f"{two.url}/metrics", timeout=2).text
                break
            except httpx.TimeoutException:
                # The kernel gave this connection to the worker that stands still.
                continue
        assert 'status="ok"} 20' in text
    finally:
        os.kill(victim, signal.SIGCONT)
