"""The data plane from within: failing candidates, too much work, and arbitrary requests."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.conftest import RunningWorker, table, target, tensors

from tidemill.core.clock import SystemClock
from tidemill.predictions.reader import read_predictions
from tidemill.serving.routes import EndpointRoutes, RouteTable, write_routes
from tidemill.serving.worker.http import Head, Request, Response
from tidemill.serving.worker.process import Worker
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.settings import Settings
from tidemill.serving.worker.version import Outcome, TwinVersion

INFER = "/v2/models/e/infer"
ROW: dict[str, list[Any]] = {"a": [0.5], "b": [1.0], "c": [3]}
Act = Callable[[Worker], Any]


def within(home: Path, bundles: Path, routes: RouteTable, act: Act, **options: Any) -> None:
    """Run a worker in this process, without sockets."""

    async def main() -> None:
        write_routes(home / "routes.json", routes)
        chosen = Settings(
            routes=home / "routes.json",
            bundles=bundles,
            predictions=home / "predictions",
            **options,
        )
        loop = asyncio.get_running_loop()
        worker = Worker(chosen, clock=SystemClock(), rng=random.Random(0), loop=loop)
        await worker.follow()
        try:
            await act(worker)
        finally:
            worker.close()

    asyncio.run(main())


async def ask(worker: Worker, inputs: Any = None, **headers: str) -> Response:
    sent = {b"host": b"localhost", **{k.encode(): v.encode() for k, v in headers.items()}}
    body = json.dumps({"inputs": inputs or tensors(**ROW)}).encode()
    arrived = SystemClock().monotonic()
    answer = worker.application(Request(Head("POST", INFER, headers=sent), body, arrived))
    return answer if isinstance(answer, Response) else await answer


class Failing(TwinVersion):
    """A version whose graph fails at every call."""

    def answer(self, requests: Sequence[Rows]) -> list[Outcome | Exception]:
        return [RuntimeError("the graph failed") for _ in requests]


def test_a_failing_canary_is_no_callers_trouble(tmp_path: Path, bundles: Path) -> None:
    targets = (target(1, "one"), target(2, "two", role="canary", weight=100.0))

    async def act(worker: Worker) -> None:
        endpoint = worker.plane.table.endpoint("e")
        endpoint.versions[2].__class__ = Failing
        answer = await ask(worker)
        assert answer.status == 200
        assert json.loads(answer.body)["model_version"] == "1"
        asked_for = await ask(worker, **{"tidemill-version": "2"})
        assert asked_for.status == 500
        assert "Traceback" not in asked_for.body.decode()

    within(tmp_path, bundles, table(1, e=EndpointRoutes(targets=targets)), act)
    frame, _ = read_predictions(tmp_path / "predictions", "e")
    seen = sorted(zip(frame["version"], frame["status"], strict=True))
    assert seen == [(1, "ok"), (2, "error"), (2, "error")]


def test_a_failing_champion_is_a_500_and_logged(tmp_path: Path, bundles: Path) -> None:
    async def act(worker: Worker) -> None:
        worker.plane.table.endpoint("e").versions[1].__class__ = Failing
        assert (await ask(worker)).status == 500

    within(tmp_path, bundles, table(1, e=target(1, "one")), act)
    assert read_predictions(tmp_path / "predictions", "e")[0]["status"].to_list() == ["error"]


def test_too_much_at_once_is_refused_with_the_time_to_come_back(
    tmp_path: Path, bundles: Path
) -> None:
    async def act(worker: Worker) -> None:
        answers = await asyncio.gather(*(ask(worker) for _ in range(10)))
        assert sorted(a.status for a in answers) == [200] * 4 + [429] * 6
        assert (b"retry-after", b"1") in next(a for a in answers if a.status == 429).headers
        assert (await ask(worker)).status == 200
        assert worker.plane.waiting == 0

    within(tmp_path, bundles, table(1, e=target(1, "one")), act, max_rows=4)


def test_requests_of_one_turn_are_answered_in_one_call(tmp_path: Path, bundles: Path) -> None:
    sizes: list[int] = []

    class Counting(TwinVersion):
        def answer(self, requests: Sequence[Rows]) -> list[Outcome | Exception]:
            sizes.append(len(requests))
            return super().answer(requests)

    async def act(worker: Worker) -> None:
        worker.plane.table.endpoint("e").versions[1].__class__ = Counting
        await asyncio.gather(*(ask(worker) for _ in range(32)))
        await ask(worker)

    within(tmp_path, bundles, table(1, e=target(1, "one")), act)
    assert max(sizes) >= 16
    assert sizes[-1] == 1


def test_a_bad_request_takes_none_of_its_batch_with_it(tmp_path: Path, bundles: Path) -> None:
    def matrix(b: float) -> list[dict[str, Any]]:
        return [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [0.5, b, 3.0]}]

    async def act(worker: Worker) -> None:
        limits = [1.0, 99.0, 2.0, -99.0, 3.0]  # the contract allows -50 to 50
        answers = await asyncio.gather(*(ask(worker, matrix(b)) for b in limits))
        assert [a.status for a in answers] == [200, 400, 200, 400, 200]
        assert "'b'" in answers[1].body.decode()
        assert worker.plane.waiting == 0

    within(tmp_path, bundles, table(1, e=target(1, "one")), act)


def test_few_rows_and_many_get_the_same_answers(tmp_path: Path, bundles: Path) -> None:
    def matrix(rows: int) -> list[dict[str, Any]]:
        data = [0.5, 1.0, 3.0, None, -1.0, 4.0] * (rows // 2)
        return [{"name": "x", "shape": [rows, 3], "datatype": "FP64", "data": data}]

    async def act(worker: Worker) -> None:
        few, many = await ask(worker, matrix(2)), await ask(worker, matrix(1000))
        some, all_of_them = (json.loads(answer.body) for answer in (few, many))
        for short, long in zip(some["outputs"], all_of_them["outputs"], strict=True):
            assert long["data"] == short["data"] * 500
            assert long["shape"] == [1000, *short["shape"][1:]]
        assert len(set(all_of_them["parameters"]["prediction_ids"].split(","))) == 1000

    within(tmp_path, bundles, table(1, e=target(1, "one")), act)
    frame, _ = read_predictions(tmp_path / "predictions", "e")
    assert frame["feature.a"].to_list() == [0.5, None] * 501
    assert frame["feature.c"].to_list() == [3, 4] * 501


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
)
DATATYPES = st.sampled_from(["FP64", "FP32", "INT64", "UINT8", "BOOL", "BYTES", "FP16", "X"])
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c", "row", "x", "z"]) | ANYTHING,
        "shape": st.lists(st.integers(-2, 4), max_size=3) | ANYTHING,
        "datatype": DATATYPES | ANYTHING,
        "data": st.lists(SCALARS, max_size=4) | ANYTHING,
    },
    optional={"parameters": st.dictionaries(st.just("binary_data_size"), ANYTHING)},
)
BODIES = (
    st.fixed_dictionaries(
        {"inputs": st.lists(TENSORS, max_size=4) | ANYTHING},
        optional={"outputs": ANYTHING, "id": ANYTHING, "parameters": ANYTHING},
    )
    | ANYTHING
)
FORMS = st.dictionaries(
    st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "params"]),
    ANYTHING
    | st.lists(st.lists(SCALARS, max_size=4), max_size=3)
    | st.fixed_dictionaries({"columns": ANYTHING, "data": ANYTHING}),
    max_size=2,
)


@pytest.mark.parametrize("path", [INFER, "/invocations/e", "/v1/models/e:predict", "/labels/e"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES | FORMS)
def test_no_json_makes_the_server_fail(worker: RunningWorker, path: str, body: Any) -> None:
    response = worker.http.post(path, json=body)
    assert response.status_code in {200, 400}, response.text
    if response.status_code == 400:
        assert response.json()["error"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200), length=st.integers(0, 250))
def test_no_bytes_make_the_server_fail(worker: RunningWorker, body: bytes, length: int) -> None:
    headers = {"Inference-Header-Content-Length": str(length)}
    assert worker.http.post(INFER, content=body, headers=headers).status_code == 400
    for kind in ("text/csv", "application/vnd.apache.parquet"):
        typed = {"Content-Type": kind}
        answer = worker.http.post("/invocations/e", content=body, headers=typed)
        assert answer.status_code in {200, 400}, answer.text
