"""Contracts: what is inferred holds, and what is written is read back."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.contract import Column, Contract
from tidemill.datasets.contracts import read_contract, write_contract
from tidemill.datasets.errors import BadContract
from tidemill.datasets.inference import infer
from tidemill.datasets.validation import validate

NOW = datetime(2013, 2, 1, tzinfo=UTC)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
COLUMNS = st.lists(
    st.builds(
        Column,
        name=NAMES,
        type=st.sampled_from(["bool", "int", "float", "string", "datetime", "date"]),
        role=st.sampled_from(["feature", "label", "key", "time", "ignored"]),
        nullable=st.booleans(),
        min=st.none() | st.floats(-1e9, 1e9),
        max=st.none() | st.floats(-1e9, 1e9),
        values=st.none() | st.lists(NAMES, min_size=1, max_size=3).map(tuple),
        unique=st.booleans(),
        max_null_rate=st.none() | st.floats(0, 1),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda c: c.name,
)


@given(COLUMNS, st.none() | st.integers(1, 99), st.sampled_from(["ignore", "refuse"]))
def test_a_contract_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, columns: list[Column], most: int | None, extra: str
) -> None:
    contract = Contract(
        columns=tuple(columns),
        max_rows=most,
        extra_columns=extra,  # type: ignore[arg-type]
    )
    path = tmp_path_factory.mktemp("contract") / "c.toml"
    write_contract(path, contract)
    assert read_contract(path) == contract


FRAMES = st.integers(1, 30).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "count": st.lists(st.integers(-5, 5) | st.none(), min_size=n, max_size=n),
            "temp": st.lists(
                st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=n, max_size=n
            ),
            "place": st.lists(st.sampled_from(["a", "b", None]), min_size=n, max_size=n),
            "late": st.lists(st.booleans(), min_size=n, max_size=n),
        }
    )
)


@given(FRAMES)
def test_data_keep_the_contract_that_was_inferred_from_them(data: dict[str, list[object]]) -> None:
    schema = {"count": pl.Int64, "temp": pl.Float64, "place": pl.String, "late": pl.Boolean}
    frame = pl.DataFrame(data, schema=schema)
    report = validate(frame.lazy(), infer(frame, label="late"), now=NOW)
    assert report.passed, report.summary


@pytest.mark.parametrize(
    ("column", "values", "rule"),
    [
        (Column(name="v", type="int"), ["one"], "type"),
        (Column(name="v", type="float", nullable=False), [1.0, None], "nulls"),
        (Column(name="v", type="float", max_null_rate=0.4), [1.0, None], "nulls"),
        (Column(name="v", type="float"), [1.0, math.inf], "finite"),
        (Column(name="v", type="float", min=0.0), [-0.5], "range"),
        (Column(name="v", type="float", min=0.0, max=1.0), [1.5], "range"),
        (Column(name="v", type="string", values=("a", "b")), ["c"], "values"),
        (Column(name="v", type="int", unique=True), [1, 1], "unique"),
        (Column(name="w", type="int"), [1], "missing-column"),
    ],
)
def test_each_rule_finds_what_breaks_it(column: Column, values: list[object], rule: str) -> None:
    report = validate(pl.LazyFrame({"v": values}), Contract(columns=(column,)), now=NOW)
    assert [v.rule for v in report.violations] == [rule]
    assert repr(column.name) in report.summary


def test_rules_of_the_whole_batch() -> None:
    column = Column(name="at", type="datetime", role="time")
    contract = Contract(
        columns=(column,), min_rows=3, extra_columns="refuse", max_age_seconds=3600.0
    )
    batch = pl.LazyFrame({"at": [NOW - timedelta(hours=2)], "more": [1]})
    report = validate(batch, contract, now=NOW)
    assert {v.rule for v in report.violations} == {"volume", "extra-column", "freshness"}


def test_mistakes_in_the_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[columns.temp]\ntype = "float"\nmaximum = 3\n')
    with pytest.raises(BadContract, match=r"maximum.*temp"):
        read_contract(path)
    path.write_text('[columns.temp]\ntype = "flaot"\n')
    with pytest.raises(BadContract, match="flaot"):
        read_contract(path)
    path.write_text("[columns\n")
    with pytest.raises(BadContract, match="cannot be read"):
        read_contract(path)


def test_a_column_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadContract, match="'late'"):
        infer(pl.DataFrame({"late": [True]}), label="lat")
