"""Answers become records together, and nothing of one is told of another."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.core.contract import Column, Contract
from tidemill.models.inputs import Encoder
from tidemill.models.records import Signature
from tidemill.serving.worker.entries import Entry, Subject, bind
from tidemill.serving.worker.redaction import Redaction
from tidemill.serving.worker.rows import Inputs, Rows

COLUMNS = (
    Column(name="a", type="float", nullable=True),
    Column(name="n", type="int", nullable=True),
)
SIGNATURE = Signature(task="regression", features=COLUMNS)
INPUTS = Inputs(SIGNATURE, Contract(columns=COLUMNS), Encoder(SIGNATURE))
PLAIN = Subject("m", 1, "champion", 1.0, INPUTS, None)


def matrix(*rows: list[float | None]) -> Rows:
    return INPUTS.matrix(np.array(rows, dtype=np.float64))


def entry(number: int, rows: Rows, subject: Subject = PLAIN, **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "subject": subject,
        "status": "ok",
        "time": number,
        "request_id": f"r{number}",
        "latency_us": number,
        "ids": [f"{number}-{row}" for row in range(rows.count)],
        "rows": rows,
        "predictions": [float(number)] * rows.count,
        "scores": None,
        "arrived": 0,
        "trace": "",
    }
    return Entry(**{**values, **changes})


def test_requests_of_several_forms_keep_their_values() -> None:
    groups = bind(
        [
            entry(1, matrix([0.5, 3.0])),
            entry(2, INPUTS.rows({"a": [1.5, None], "n": [7, 8]})),
            entry(3, matrix([None, None], [2.5, 4.0])),
        ]
    )
    records = [r for group in groups for r in group.records()]
    assert [(r.request_id, r.features) for r in records] == [
        ("r1", {"a": [0.5], "n": [3]}),
        ("r3", {"a": [None, 2.5], "n": [None, 4]}),
        ("r2", {"a": [1.5, None], "n": [7, 8]}),
    ]
    assert [r.ids for r in records] == [["1-0"], ["3-0", "3-1"], ["2-0", "2-1"]]
    assert [r.predictions for r in records] == [[1.0], [3.0, 3.0], [2.0, 2.0]]
    assert all(type(r.features["n"][-1]) is int for r in records)


def test_many_rows_are_arrays_but_for_whole_numbers_with_gaps() -> None:
    (group,) = bind([entry(n, matrix([float(n), None if n == 5 else n])) for n in range(100)])
    assert isinstance(group.features["a"], np.ndarray)
    assert group.features["n"] == [None if n == 5 else n for n in range(100)]
    (whole,) = bind([entry(n, matrix([float(n), n])) for n in range(100)])
    assert whole.features["n"].dtype.kind == "i"


def test_versions_and_failures_are_told_apart() -> None:
    canary = Subject("m", 2, "canary", 1.0, INPUTS, None)
    rows = matrix([1.0, 1.0])
    groups = bind(
        [
            entry(1, rows),
            entry(2, rows, canary),
            entry(3, rows, status="error", predictions=[]),
            entry(4, rows, trace="t", arrived=9),
        ]
    )
    told = [(g.version, g.role, g.status, g.request_ids, g.traces, g.arrived) for g in groups]
    assert told == [
        (1, "champion", "ok", ["r1", "r4"], ["", "t"], [0, 9]),
        (2, "canary", "ok", ["r2"], [], []),
        (1, "champion", "error", ["r3"], [], []),
    ]
    assert groups[2].records()[0].predictions == []


def test_redaction_reaches_every_request_of_a_group() -> None:
    subject = Subject("m", 1, "champion", 1.0, INPUTS, Redaction(["n", "a: truncate 2"], b"k" * 32))
    (group,) = bind([entry(n, matrix([n + 0.25, 7.0]), subject) for n in range(3)])
    assert group.features == {}
    assert group.redacted == {"a": ["0.", "1.", "2."]}


def test_a_missing_value_is_missing_in_many_redacted_rows_too() -> None:
    subject = Subject("m", 1, "champion", 1.0, INPUTS, Redaction(["a: hash"], b"k" * 32))
    (group,) = bind([entry(n, matrix([None if n == 5 else 1.5, 1.0]), subject) for n in range(99)])
    told = group.redacted["a"]
    assert told[5] is None
    assert len(set(told)) == 2
