"""Answers are read from the log as they were given, and nothing of one is told of another."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.contract import Column, Contract
from tidemill.models.inputs import Encoder
from tidemill.models.records import Signature
from tidemill.predictions.decoding import records_in
from tidemill.predictions.frames import HEAD_BYTES
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.requests import LoggedRequest
from tidemill.serving.worker.entries import Subject
from tidemill.serving.worker.redaction import Redaction
from tidemill.serving.worker.rows import Inputs, Rows, packed

COLUMNS = (
    Column(name="a", type="float", nullable=True),
    Column(name="n", type="int", nullable=True),
    Column(name="yes", type="bool", nullable=True),
)
SIGNATURE = Signature(task="regression", features=COLUMNS)
CONTRACT = Contract(columns=COLUMNS)
APART = Inputs(SIGNATURE, CONTRACT, Encoder(SIGNATURE))
TOGETHER = Inputs(SIGNATURE, CONTRACT, Encoder(SIGNATURE), together=True)
values = st.tuples(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.integers(-(2**53), 2**53),
    st.none() | st.booleans(),
)


def subject(*rules: str) -> Subject:
    redaction = Redaction(rules, b"k" * 32) if rules else None
    return Subject("m", 1, "champion", weight=1.0, inputs=APART, redaction=redaction)


def logged(of: Subject, *rows: Rows) -> list[PredictionRecord]:
    """Have rows logged as requests, and read them."""
    requests = [
        LoggedRequest(n, f"{n:032x}", r.count, f"r{n}", n, "ok", [0.5], None, 0, "", *of.told(r))
        for n, r in enumerate(rows)
    ]
    of.gathering.add(requests)
    return records_in("predictions", bytes(of.gathering.taken())[HEAD_BYTES:])


def matrix(*rows: Any) -> Rows:
    return APART.matrix(np.array(rows, dtype=np.float64))


@given(st.lists(st.lists(values, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_matrix_is_read_as_the_values_it_stood_for(requests: list[list[Any]]) -> None:
    flat = [[None if v is None else float(v) for row in rows for v in row] for rows in requests]
    few = [TOGETHER.numbers(packed(f), len(f) // 3) for f in flat]
    found = logged(subject(), *few, *(matrix(*rows) for rows in requests))
    for record, rows in zip(found, [*requests, *requests], strict=True):
        a, n, yes = (list(column) for column in zip(*rows, strict=True))
        assert record.features == {"a": a, "n": n, "yes": yes}
        assert {type(v) for v in record.features["n"]} <= {int, type(None)}
        assert {type(v) for v in record.features["yes"]} <= {bool, type(None)}
        assert len(record.ids) == len(rows)


@given(st.lists(values, min_size=1, max_size=4))
def test_columns_are_read_as_they_came(rows: list[Any]) -> None:
    a, n, yes = (list(column) for column in zip(*rows, strict=True))
    lists = APART.rows({"yes": yes, "a": a, "n": n})
    (found,) = logged(subject(), lists)
    assert found.features == {"a": a, "n": n, "yes": yes}


def test_arrays_are_read_with_gaps_for_missing_values() -> None:
    columns = {"a": np.array([0.5, np.nan]), "n": np.array([1, 2]), "yes": np.array([True, False])}
    (found,) = logged(subject(), APART.rows(columns))
    assert found.features == {"a": [0.5, None], "n": [1, 2], "yes": [True, False]}


def test_numbers_of_32_bits_are_logged_as_they_came() -> None:
    numbers = np.array([[0.1, 3, 1], [np.nan, 4, 0]], dtype=np.float32)
    single, double = TOGETHER.matrix(numbers), TOGETHER.matrix(numbers.astype(np.float64))
    assert len(memoryview(subject().told(single)[0] or b"").tobytes()) == 2 * 3 * 4
    found, same = logged(subject(), single, double)
    assert found.features == same.features
    assert found.features["a"][1] is None
    assert found.features["a"][0] == float(np.float32(0.1))


def test_who_checks_at_once_has_numbers_of_64_bits() -> None:
    (found,) = APART.matrix(np.ones((2, 3), dtype=np.float32)).matrices
    assert found.dtype == np.float64


def test_redacted_columns_are_apart_and_the_others_as_they_were() -> None:
    for rows in (
        matrix([0.25, 7, 1], [None, 8, 0]),
        APART.rows({"a": [0.25, None], "n": [7, 8], "yes": [True, False]}),
    ):
        (found,) = logged(subject("n", "a: truncate 2"), rows)
        assert found.features == {"yes": [True, False]}
        assert found.redacted == {"a": ["0.", None]}


def test_where_all_columns_are_redacted_none_is_logged() -> None:
    for rows in (matrix([0.25, 7, 1]), APART.rows({"a": [0.25], "n": [7], "yes": [True]})):
        (found,) = logged(subject("a", "n", "yes: hash"), rows)
        assert found.features == {}
        assert set(found.redacted) == {"yes"}
        assert found.redacted["yes"][0] not in (None, "True")


def test_a_missing_value_is_missing_in_many_redacted_rows_too() -> None:
    rows = matrix(*([None if n == 5 else 1.5, 1, 1] for n in range(99)))
    (found,) = logged(subject("a: hash"), rows)
    assert found.redacted["a"][5] is None
    assert len(set(found.redacted["a"])) == 2
    assert found.features["n"] == [1] * 99
