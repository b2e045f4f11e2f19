"""Requests: what fits the signature is converted, all else is refused with the column's name."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.core.contract import Column, ColumnType
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import MISSING_TEXT, Encoder
from tidemill.models.records import Signature

FEATURES = (
    Column(name="f", type="float", min=-10, max=10),
    Column(name="i", type="int", nullable=False),
    Column(name="s", type="string", values=("a", "b")),
    Column(name="b", type="bool"),
    Column(name="t", type="datetime"),
    Column(name="d", type="date"),
    Column(name="free", type="string"),
)
ENCODER = Encoder(Signature(features=FEATURES, task="regression"))
GOOD: dict[str, list[Any]] = {
    "f": [1.5],
    "i": [3],
    "s": ["a"],
    "b": [True],
    "t": ["1970-01-01T00:00:01Z"],
    "d": ["1970-01-02"],
    "free": ["ÄÖ"],
}


def several(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        name: values + GOOD[name] if name in GOOD and isinstance(values, list) else values
        for name, values in columns.items()
    }


def test_a_row_becomes_numbers_and_strings() -> None:
    (numbers, texts), rows = ENCODER.encode(GOOD)
    assert rows == 1
    assert numbers.tolist() == [[1.5, 3.0, 1.0, 1e6, 1.0]]
    assert texts.tolist() == [["a", "ÄÖ"]]


def test_many_rows_are_encoded_as_one_is() -> None:
    (one, text), _ = ENCODER.encode(GOOD)
    (many, texts), rows = ENCODER.encode(several(GOOD))
    assert rows == 2
    assert np.array_equal(many, np.concatenate([one, one]))
    assert np.array_equal(texts, np.concatenate([text, text]))


def test_missing_values_are_nan_and_a_noncharacter() -> None:
    gone = {n: [None] for n in GOOD} | {"i": [1]}
    for columns in (gone, several(gone)):
        (numbers, texts), _ = ENCODER.encode(columns)
        assert np.isnan(numbers[0]).tolist() == [True, False, True, True, True]
        assert texts[0].tolist() == [MISSING_TEXT, MISSING_TEXT]


def test_arrays_are_taken_as_they_are() -> None:
    columns: dict[str, Any] = {
        "f": np.array([1, 2], dtype=np.float32),
        "i": np.array([1.0, 2.0]),
        "s": np.array(["a", None], dtype=object),
        "b": np.array([True, False]),
        "t": np.array(["1970-01-01T00:00:01", "NaT"], dtype="datetime64[ms]"),
        "d": [date(1970, 1, 2), None],
        "free": np.array(["x", "y"]),
    }
    (numbers, texts), rows = ENCODER.encode(columns)
    assert rows == 2
    assert numbers[0].tolist() == [1.0, 1.0, 1.0, 1e6, 1.0]
    assert np.isnan(numbers[1, 3])
    assert texts.tolist() == [["a", "x"], [MISSING_TEXT, "y"]]


def test_moments_come_as_text_as_datetime_or_as_microseconds() -> None:
    noon = datetime(2013, 2, 1, 12, tzinfo=UTC)
    found = {
        ENCODER.encode(GOOD | {"t": [value]})[0][0][0, 3]
        for value in ("2013-02-01T12:00:00Z", "2013-02-01T07:00:00-05:00", noon)
    }
    assert found == {noon.timestamp() * 1e6}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("f", "1.5", "numbers"),
        ("f", True, "numbers"),
        ("f", 11, "-10 to 10"),
        ("f", float("inf"), "-10 to 10"),
        pytest.param("f", 10**400, "-10 to 10|numbers", id="f-huge"),
        pytest.param("i", -(10**400), "whole numbers", id="i-huge"),
        ("f", [1.0], "numbers"),
        ("f", {}, "numbers"),
        ("i", 1.5, "whole numbers"),
        ("i", None, "a value in every row"),
        ("i", float("nan"), "whole numbers|every row"),
        ("i", True, "whole numbers"),
        ("i", float("inf"), "finite|whole"),
        ("s", "c", "'a'"),
        ("s", 1, "strings"),
        ("b", 1, "true or false"),
        ("b", "true", "true or false"),
        ("t", "noon", "moments"),
        ("t", True, "moments"),
        ("d", "2013-02-30", "moments|days"),
        ("free", b"x", "strings"),
        ("free", "\ud800", "strings"),
    ],
)
@pytest.mark.parametrize("shape", ["one", "many"])
def test_a_wrong_value_is_refused_by_name(
    column: str, value: Any, expected: str, shape: str
) -> None:
    columns = GOOD | {column: [value]}
    if shape == "many":
        columns = several(columns)
    with pytest.raises(InvalidInput, match=expected) as caught:
        ENCODER.encode(columns)
    assert caught.value.column == column
    assert f"'{column}'" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": []}, "values"),
        ({"f": [1.0, 2.0]}, "values"),
        ({"f": 1.0}, "a list"),
        ({"s": "a"}, "a list"),
        ({"f": np.ones((1, 1))}, "dimensions"),
    ],
)
def test_a_wrong_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ENCODER.encode(GOOD | change)


def test_no_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        ENCODER.encode({name: [] for name in GOOD})


def test_a_missing_column_is_named_with_its_likeness() -> None:
    columns = {("ff" if n == "f" else n): v for n, v in GOOD.items()}
    with pytest.raises(InvalidInput, match="Did you mean 'ff'") as caught:
        ENCODER.encode(columns)
    assert caught.value.column == "f"


def test_the_contract_can_be_counted_instead_of_held() -> None:
    lenient = Encoder(Signature(features=FEATURES, task="regression"), refuse_out_of_contract=False)
    (numbers, texts), _ = lenient.encode(GOOD | {"f": [99], "s": ["c"]})
    assert numbers[0, 0] == 99
    assert texts[0, 0] == "c"
    with pytest.raises(InvalidInput):
        lenient.encode(GOOD | {"f": ["99"]})
    with pytest.raises(InvalidInput, match="inf"):
        lenient.encode(GOOD | {"f": [float("inf")]})


VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "float": st.floats(-10, 10) | st.integers(-10, 10),
    "int": st.integers(-(2**53), 2**53),
    "string": st.sampled_from(["a", "b"]),
    "bool": st.booleans(),
    "datetime": st.datetimes(timezones=st.just(UTC)),
    "date": st.dates(),
}


@given(st.data())
def test_one_row_and_many_agree(data: st.DataObject) -> None:
    row = {
        c.name: [data.draw(VALUES[c.type] | (st.none() if c.nullable else st.nothing()))]
        for c in FEATURES
    }
    one, _ = ENCODER.encode(row)
    many, _ = ENCODER.encode({name: values * 3 for name, values in row.items()})
    assert np.array_equal(many[0][:1], one[0], equal_nan=True)
    assert np.array_equal(many[1][:1], one[1])


PLAIN = (
    Column(name="f", type="float", min=-10, max=10),
    Column(name="g", type="float", nullable=False),
    Column(name="i", type="int", values=(1, 2, 3)),
    Column(name="b", type="bool"),
)
PLAIN_ENCODER = Encoder(Signature(features=PLAIN, task="regression"))
NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 4.0, 0.5, -11.0, math.nan, math.inf]) | st.floats()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(*[NUMBERS] * 4), min_size=1, max_size=4))
def test_a_matrix_is_refused_exactly_where_its_columns_are(rows: list[tuple[float, ...]]) -> None:
    matrix = np.array(rows)
    missing = [[None if math.isnan(v) else v for v in column] for column in matrix.T.tolist()]
    truths = [bool(v) if v in (0.0, 1.0) else v for v in missing[3]]
    columns = dict(zip(("f", "g", "i", "b"), [*missing[:3], truths], strict=True))
    try:
        PLAIN_ENCODER.encode(columns)
    except InvalidInput:
        with pytest.raises(InvalidInput):
            PLAIN_ENCODER.encode_matrix(matrix)
    else:
        assert PLAIN_ENCODER.encode_matrix(matrix) == [matrix]


def _verdict(matrix: np.ndarray[Any, Any]) -> str:
    try:
        PLAIN_ENCODER.encode_matrix(matrix)
    except InvalidInput as error:
        return str(error)
    return ""


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(*[NUMBERS] * 4), min_size=1, max_size=4))
def test_a_matrix_of_32_bits_is_judged_as_of_64(rows: list[tuple[float, ...]]) -> None:
    with np.errstate(over="ignore"):
        matrix = np.array(rows).astype(np.float32)
    assert _verdict(matrix) == _verdict(matrix.astype(np.float64))


def test_the_largest_numbers_of_32_bits_have_no_infinite_sum() -> None:
    encoder = Encoder(Signature(features=(Column(name="f", type="float"),), task="regression"))
    matrix = np.full((2, 1), np.finfo(np.float32).max, dtype=np.float32)
    assert encoder.encode_matrix(matrix) == [matrix]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "other"]),
        st.lists(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.integers(), max_size=2),
            max_size=3,
        ),
    )
)
def test_whatever_comes_is_encoded_or_refused(columns: dict[str, list[Any]]) -> None:
    try:
        matrices, rows = ENCODER.encode(GOOD | columns)
    except InvalidInput:
        return
    assert all(len(m) == rows for m in matrices)
