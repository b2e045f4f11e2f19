"""Columns are what Arrow makes of the same values, and are made and read without pandas."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.ids import Ids
from tidemill.predictions.compaction import compact
from tidemill.predictions.values import ValueType, array_of, columns_of

from .letters import START, deliver, label, record

_LARGE = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(allow_nan=False)
_OF: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int64(): _LARGE,
    pa.float64(): _FLOATS | st.integers(-(2**53), 2**53),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.timestamp("us", tz="UTC"): _LARGE,
    pa.date32(): st.dates(date(1, 1, 1), date(9999, 12, 31)),
    pa.list_(pa.float64()): st.lists(_FLOATS | st.integers(-9, 9), max_size=3),
}
READ = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tidemill.predictions.finding import find_prediction, latest_predictions
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.predictions.reading import scan
from tidemill.predictions.stretches import read_stretch
root, year = Path(sys.argv[1]), datetime(2013, 1, 1, tzinfo=UTC)
assert read_predictions(root, "e")[0].height == 3
assert read_labels(root, "e")[0].height == 1
assert read_stretch(root, "e", year, year.replace(year=2014)).height == 3
assert scan(root, "e", labels=True).collect().height == 3
assert [find_prediction(root, i).id for i in latest_predictions(root, "e")]
assert find_prediction(root, "named").record.features == {"temp": [0.0], "area": ["north"]}
assert "pandas" not in sys.modules
"""


@pytest.mark.parametrize("kind", _OF, ids=str)
@given(data=st.data())
def test_arrays_are_those_of_arrow(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | _OF[kind], max_size=8))
    found = array_of(values, kind)
    assert found.type == kind
    assert found.equals(pa.array(values, kind))


@pytest.mark.parametrize(
    ("known", "values", "names"),
    [
        ("int", [1, 2**63, None], {"x", "x~json"}),
        ("float", [0.5, 2**53 + 1], {"x", "x~int"}),
        ("float", [2**53 + 1, None], {"x", "x~int"}),
        ("float", [0.5, 2**53], {"x"}),
    ],
)
def test_numbers_that_would_be_bent_stand_beside_their_column(
    known: ValueType, values: list[Any], names: set[str]
) -> None:
    found = columns_of("x", values, {"x": known})
    assert set(found) == names
    kept = zip(*(column.to_pylist() for column in found.values()), strict=True)
    said = [next((v for v in row if v is not None), None) for row in kept]
    assert [int(v) if type(v) is str else v for v in said] == values


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
@pytest.mark.parametrize("archived", [False, True])
def test_the_log_is_read_and_searched_without_pandas(
    tmp_path: Path, ids: Ids, archived: bool
) -> None:
    first = record(ids, request_id="named")
    deliver(tmp_path, ids, first, record(ids, at=START + 5, rows=2, scores=[[0.1, 0.9], [1, 0]]))
    deliver(tmp_path, ids, label(True, prediction_id=first.ids[0]))
    if archived:
        assert [*compact(tmp_path, "e", "predictions"), *compact(tmp_path, "e", "labels")]
    subprocess.run([sys.executable, "-c", READ, str(tmp_path)], check=True)
