"""What is written ahead is what would be written each time, and counted together as one by one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.contract import Column
from tidemill.models.calls import Call
from tidemill.models.records import Signature
from tidemill.serving.worker.counting import Durations, Served
from tidemill.serving.worker.doors.oip_requests import FloatsRequest, Reader
from tidemill.serving.worker.http import Head, HttpError, Request
from tidemill.serving.worker.metrics import BUCKETS
from tidemill.serving.worker.outputs import Frame, outputs_of

FEATURES = (Column(name="a", type="float"),)
SIGNATURES = {
    "regression": Signature(task="regression", features=FEATURES),
    "words": Signature(task="multiclass", features=FEATURES, classes=("a", 'b"%d', "c")),
    "truths": Signature(task="binary", features=FEATURES, classes=(False, True), positive=True),
}


@pytest.mark.parametrize(
    ("signature", "data", "shapes"),
    [
        ("regression", [[1.5, float("nan")]], [[2]]),
        ("words", [["a", 'b"%d'], [0.5, 0.25, 0.25, 1.0, 0.0, 0.0]], [[2], [2, 3]]),
        ("truths", [[True, False], [0.25, 0.75, 0.5, 0.5]], [[2], [2, 2]]),
    ],
)
@pytest.mark.parametrize("identifier", [None, "", 'a"%b\\'])
def test_an_answer_is_whole_json(
    signature: str, data: list[Any], shapes: list[Any], identifier: str | None
) -> None:
    outputs = outputs_of(SIGNATURES[signature])
    written = Frame(outputs, 7).filled(b'"e%b"', 2, data, "x,y", identifier)
    expected = {
        "model_name": "e%b",
        "model_version": "7",
        "outputs": [
            {"name": o.name, "datatype": o.datatype, "shape": shape, "data": _known(values)}
            for o, shape, values in zip(outputs, shapes, data, strict=True)
        ],
        "parameters": {"prediction_ids": "x,y"},
    }
    assert json.loads(written) == expected | ({} if identifier is None else {"id": identifier})


def _known(values: list[Any]) -> list[Any]:
    """Return values as JSON knows them."""
    return [None if value != value else value for value in values]


@given(st.lists(st.sampled_from(BUCKETS) | st.floats(0, 20)))
def test_durations_are_counted_together_as_one_by_one(seconds: list[float]) -> None:
    single, many = Durations(), Durations()
    for each in seconds:
        single.observe(each)
    many.observe_all(np.array(seconds))
    assert many.counts == single.counts
    assert many.sum == pytest.approx(single.sum)


def test_every_answer_is_in_the_counts_at_any_time() -> None:
    served = Served()
    for number in range(1, 600):
        call = Call(2.0, 0.5)
        served.answered(call, 1.0, 1.5, 3.0)
        if number % 97 == 0 or number == 599:
            found = {d.name: d for d in served.distributions(())}
            assert sum(found["tidemill_queue_seconds"].counts) == number
            assert found["tidemill_request_seconds"].sum == pytest.approx(2.0 * number)
            assert found["tidemill_inference_seconds"].sum == pytest.approx(0.5 * number)


def test_requests_of_another_kind_are_read_right_whatever_came_before() -> None:
    reader = Reader()
    request = Request(Head("POST", "/"))
    floats = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, None]}
    whole = {"name": "n", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    nested = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[1.5, 2.5]]}
    expected = {0: [[1.0, None]], 1: [[1, 2]], 2: [[1.5, 2.5]]}
    guessed = 0
    for turn in range(500):
        for at, tensor in enumerate((floats, whole, nested)):
            body = json.dumps({"inputs": [tensor]}).encode()
            asked, values = reader.read(request, body, "e" if turn % 2 else "f")
            assert values == expected[at]
            guessed += isinstance(asked, FloatsRequest)
    assert guessed > 0
    wrong = json.dumps({"inputs": [floats | {"shape": [2, -1]}]}).encode()
    with pytest.raises(HttpError, match="shape"):
        reader.read(request, wrong, "another")
