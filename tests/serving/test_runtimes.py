"""Versions without a twin behind the data plane: real workers, real processes, real kills."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.serving.conftest import (
    MOMENT,
    RunningWorker,
    _rows,
    numeric_contract,
    table,
    target,
)

from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.model import prepare
from tidemill.predictions.reader import read_predictions
from tidemill.serving.routes import EndpointRoutes, RouteTable, Runtime, write_routes

ROW: dict[str, list[Any]] = {"a": [0.5], "b": [1.0], "c": [3]}
Begin = Callable[..., RunningWorker]


def plain(rows: pl.DataFrame) -> Any:
    return rows["a"].fill_null(0.0) * 2 + rows["c"].fill_null(0)


def hanging(rows: pl.DataFrame) -> Any:
    import time

    if (rows["a"] == 13.0).any():
        time.sleep(3600)
    return rows["a"].fill_null(0.0) * 2


def failing(rows: pl.DataFrame) -> Any:
    if (rows["a"] == 0.5).any():
        raise ValueError("a half is not whole")
    return rows["a"].fill_null(0.0)


def moments(rows: pl.DataFrame) -> Any:
    return rows["when"].dt.hour().fill_null(99) + rows["day"].dt.day().fill_null(0) * 100.0


WHEN = Contract(columns=(Column(name="when", type="datetime"), Column(name="day", type="date")))
MOMENTS = pl.DataFrame(
    {"when": ["2013-02-01T06:30:00", None], "day": ["2013-02-01", None]}
).with_columns(pl.col("when").str.to_datetime(time_unit="us"), pl.col("day").str.to_date())


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, bundles: Path, model_environments: Path
) -> tuple[Path, Path]:
    """Bundles, two of them functions beside one with a twin, and their environment."""
    root = tmp_path_factory.mktemp("functions")
    (root / "line").symlink_to(bundles / "line")
    numbers = _rows(1)[0].filter(pl.col("a") != 0.5)
    for function in (plain, hanging, failing, moments):
        own = function is moments
        folder = root / function.__name__
        manifest = pack(
            function,
            name="m",
            task="regression",
            contract=WHEN if own else numeric_contract(),
            sample=MOMENTS if own else numbers,
            folder=folder,
            created=MOMENT,
        )
        assert manifest.twin is None
        prepare(folder, Environments(model_environments))
    return root, model_environments


@pytest.fixture
def begin(tmp_path: Path, places: tuple[Path, Path]) -> Iterator[Begin]:
    """Start workers of one's own."""
    running: list[RunningWorker] = []

    def start(routes: RouteTable, *options: str) -> RunningWorker:
        folder = tmp_path / str(len(running))
        write_routes(folder / "routes.json", routes)
        bundles, environments = places
        worker = RunningWorker(folder, bundles, "--environments", str(environments), *options)
        running.append(worker)
        return worker

    yield start
    for each in running:
        each.close()


def routes(generation: int, *targets: Any, **limits: Any) -> RouteTable:
    runtime = Runtime(limits=Limits(**limits))
    return table(generation, e=EndpointRoutes(targets=targets, runtime=runtime))


def test_a_function_is_a_version_like_any_other(begin: Begin) -> None:
    worker = begin(routes(1, target(1, "plain")))
    answer = worker.infer(**ROW)
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] == [4.0]
    refused = worker.infer(a=["x"], b=[1.0], c=[3])
    assert refused.status_code == 400
    assert "'a'" in refused.json()["error"]
    many = worker.infer(a=[float(i) for i in range(500)], b=[1.0] * 500, c=[0] * 500)
    assert many.json()["outputs"][0]["data"] == [2.0 * i for i in range(500)]
    assert worker.http.post("/-/flush").status_code == 200
    frame, _ = read_predictions(worker.predictions, "e")
    assert frame["prediction"].to_list()[:1] == [4.0]
    assert frame.height == 501


def test_moments_come_by_every_door(begin: Begin) -> None:
    worker = begin(routes(1, target(1, "moments")))
    records = [
        {"when": "2013-02-01T06:30:00Z", "day": "2013-02-03"},
        {"when": "2013-02-01T23:30:00+01:00", "day": None},
        {"when": None, "day": "1969-12-31"},
    ]
    said = worker.http.post("/invocations/e", json={"dataframe_records": records})
    assert said.json()["predictions"] == [306.0, 22.0, 3199.0], said.text
    tensors = [
        {"name": n, "shape": [2], "datatype": "BYTES", "data": [r[n] for r in records[::2]]}
        for n in ("when", "day")
    ]
    tensors[0]["data"] = [records[0]["when"]] * 2
    said = worker.http.post("/v2/models/e/infer", json={"inputs": tensors})
    assert said.json()["outputs"][0]["data"] == [306.0, 3106.0], said.text
    texts = [text.encode() for t in tensors for text in t["data"]]
    sizes = [sum(len(t) + 4 for t in texts[i : i + 2]) for i in (0, 2)]
    head = {
        "inputs": [
            {k: t[k] for k in ("name", "shape", "datatype")}
            | {"parameters": {"binary_data_size": size}}
            for t, size in zip(tensors, sizes, strict=True)
        ]
    }
    opening = msgspec.json.encode(head)
    body = opening + b"".join(len(t).to_bytes(4, "little") + t for t in texts)
    said = worker.http.post(
        "/v2/models/e/infer",
        content=body,
        headers={"inference-header-content-length": str(len(opening))},
    )
    assert said.json()["outputs"][0]["data"] == [306.0, 3106.0], said.text
    wrong = worker.http.post(
        "/invocations/e", json={"dataframe_records": [{"when": "yesterday", "day": None}]}
    )
    assert wrong.status_code == 400
    assert "'when'" in wrong.text
    assert "2013-02-01T06:30:00Z" in wrong.text


def test_children_are_seen_in_the_metrics_and_end_with_their_version(begin: Begin) -> None:
    worker = begin(routes(1, target(1, "plain"), processes=2))
    gauges = _gauges(worker)
    assert gauges['tidemill_model_processes{worker="0",endpoint="e",version="1"}'] == 2
    assert gauges['tidemill_model_memory_bytes{worker="0",endpoint="e",version="1"}'] > 1 << 20
    children = _children(worker)
    assert len(children) == 2
    write_routes(worker.routes, routes(2, target(4, "line")))
    _until(lambda: worker.http.get("/health").json()["generation"] == 2)
    _until(lambda: not _children(worker))
    assert worker.infer(**ROW).status_code == 200


def test_children_that_are_killed_under_load_fail_no_request(begin: Begin) -> None:
    worker = begin(routes(1, target(1, "plain"), processes=2))
    wrong: list[Any] = []
    count = [0]
    stop = threading.Event()

    def load(start: int) -> None:
        import httpx

        with httpx.Client(base_url=worker.url, timeout=60.0) as http:
            value = float(start)
            while not stop.is_set():
                value += 1.0
                body = {"dataframe_records": [{"a": value, "b": 1.0, "c": 0}]}
                answer = http.post("/invocations/e", json=body)
                if answer.status_code != 200 or answer.json()["predictions"] != [2 * value]:
                    wrong.append((answer.status_code, answer.text))
                count[0] += 1

    threads = [threading.Thread(target=load, args=(10_000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    # One that is killed before it has loaded was not there yet, and does not count.
    ready = 'tidemill_model_processes{worker="0",endpoint="e",version="1"}'
    for _ in range(3):
        seen = count[0]
        _until(lambda seen=seen: count[0] > seen + 50 and _gauges(worker)[ready] == 2)  # type: ignore[misc]
        victim = _children(worker)[0]
        os.kill(victim, signal.SIGKILL)
        _until(lambda victim=victim: victim not in _children(worker))  # type: ignore[misc]
    restarts = 'tidemill_model_restarts_total{worker="0",endpoint="e",version="1"}'
    _until(lambda: _gauges(worker)[restarts] == 3)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_canary_that_fails_is_answered_for_by_the_champion(begin: Begin) -> None:
    worker = begin(routes(1, target(4, "line"), target(2, "failing", role="canary", weight=100.0)))
    answer = worker.infer(**ROW)
    assert answer.status_code == 200
    assert answer.json()["model_version"] == "4"
    asked_for = worker.http.post(
        "/invocations/e",
        json={"dataframe_records": [{"a": 0.5, "b": 1.0, "c": 3}]},
        headers={"tidemill-version": "2"},
    )
    assert asked_for.status_code == 500
    assert "ValueError" not in asked_for.text


def test_a_call_that_hangs_is_a_504_and_the_next_is_answered(begin: Begin) -> None:
    worker = begin(routes(1, target(1, "hanging"), call_seconds=5.0))
    assert worker.infer(a=[13.0], b=[1.0], c=[3]).status_code == 504
    assert worker.infer(**ROW).status_code == 200
    assert worker.http.get("/health").status_code == 200


def test_too_many_rows_are_a_429_with_the_time_to_come_back(begin: Begin) -> None:
    worker = begin(routes(1, target(1, "hanging"), call_seconds=5.0, waiting_rows=2))
    answers: list[Any] = []

    def ask(value: float) -> None:
        answers.append(worker.infer(a=[value], b=[1.0], c=[3]))

    threads = [threading.Thread(target=ask, args=(13.0,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(a.status_code for a in answers)
    assert statuses.count(429) == 4, statuses
    assert next(a for a in answers if a.status_code == 429).headers["retry-after"] == "1"


def test_a_version_without_an_environment_leaves_the_live_one_alone(
    begin: Begin, tmp_path: Path
) -> None:
    worker = begin(routes(1, target(4, "line")), "--environments", str(tmp_path / "empty"))
    write_routes(worker.routes, routes(2, target(1, "plain")))
    _until(lambda: worker.http.get("/health").json()["problems"])
    problems = worker.http.get("/health").json()["problems"]
    assert "tidemill deploy" in problems["e"]
    assert worker.infer(**ROW).json()["model_version"] == "4"


def _gauges(worker: RunningWorker) -> dict[str, float]:
    lines = worker.http.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def _children(worker: RunningWorker) -> list[int]:
    found = []
    for task in Path(f"/proc/{worker.process.pid}/task").iterdir():
        try:
            pids = (task / "children").read_text().split()
        except OSError:
            continue
        found += [int(p) for p in pids if _runs(int(p))]
    return sorted(found)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(claim: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def test_routes_carry_how_models_run() -> None:
    written = msgspec.json.encode(routes(1, target(1, "plain"), processes=3))
    assert (
        msgspec.json.decode(written, type=RouteTable).endpoints["e"].runtime.limits.processes == 3
    )
