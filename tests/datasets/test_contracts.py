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
LIMITS = st.none() | st.floats(-1e9, 1e9)


@st.composite
def columns_of(draw: st.DrawFn, role: str) -> Column:
    """A column whose rules agree with one another."""
    types = ["datetime", "date"] if role == "time" else ["bool", "int", "float", "string"]
    kind = draw(st.sampled_from(types))
    low, high = draw(LIMITS), draw(LIMITS)
    if kind not in {"int", "float"}:
        low = high = None
    elif low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    allowed = {"bool": st.booleans(), "int": st.integers(-(2**63), 2**63 - 1), "string": NAMES}
    listed = st.lists(allowed.get(kind, NAMES), min_size=1, max_size=3).map(tuple)
    return Column(
        name=draw(NAMES),
        type=kind,  # type: ignore[arg-type]
        role=role,  # type: ignore[arg-type]
        nullable=draw(st.booleans()),
        min=low,
        max=high,
        values=draw(st.none() | listed) if kind in allowed else None,
        unique=draw(st.booleans()),
        max_null_rate=draw(st.none() | st.floats(0, 1)),
    )


ROLES = st.lists(st.sampled_from(["feature", "ignored"]), max_size=4).flatmap(
    lambda some: st.lists(
        st.sampled_from(["label", "key", "time", "feature"]), min_size=1, unique=True
    ).map(lambda once: [*some, *once])
)
COLUMNS = ROLES.flatmap(lambda roles: st.tuples(*map(columns_of, roles))).filter(
    lambda columns: len({c.name for c in columns}) == len(columns)
)


@given(COLUMNS, st.none() | st.integers(1, 99), st.sampled_from(["ignore", "refuse"]))
def test_a_contract_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    columns: tuple[Column, ...],
    most: int | None,
    extra: str,
) -> None:
    contract = Contract(
        columns=columns,
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


MISTAKES = {
    "not toml": ("[columns\n", None, "cannot be read"),
    "no columns": ("min_rows = 1\n", 1, "names no columns"),
    "unknown rule": (
        '[columns.temp]\ntype = "int"\nmaximum = 3\n',
        3,
        "'maximum' of .*'temp'.*'max",
    ),
    "unknown type": ('[columns.temp]\ntype = "flaot"\n', 2, "'flaot'.*'float'"),
    "unknown role": ('[columns.temp]\ntype = "int"\nrole = "lable"\n', 3, "'lable'.*'label'"),
    "no type": ("min_rows = 1\n[columns.temp]\nmin = 3\n", 2, "`type` of column 'temp'"),
    "wrong rule": ('[columns.temp]\ntype = "int"\nmin = "a"\n', 3, "min of .* is 'a'"),
    "no table": ("[columns]\ntemp = 3\n", 2, "'temp' is 3"),
    "unknown whole": ('min_rws = 1\n[columns.t]\ntype = "int"\n', 1, "'min_rws'.*'min_rows'"),
    "upside down": ('[columns.t]\ntype = "int"\nmin = 3\nmax = 1\n', 3, "min of 3 and a max of 1"),
    "limits of text": ('[columns.t]\ntype = "string"\nmin = 3\n', 3, "string and has a min"),
    "no limit": ('[columns.t]\ntype = "float"\nmax = nan\n', 3, "the max nan"),
    "share": ('[columns.t]\ntype = "int"\nmax_null_rate = 5\n', 3, "max_null_rate of 5"),
    "foreign value": ('[columns.t]\ntype = "int"\nvalues = [1, "b"]\n', 3, "allows 'b'"),
    "true for one": ('[columns.t]\ntype = "int"\nvalues = [true]\n', 3, "allows True"),
    "values of floats": ('[columns.t]\ntype = "float"\nvalues = [1]\n', 3, "float and has values"),
    "no value": ('[columns.t]\ntype = "int"\nvalues = []\n', 3, "no value at all"),
    "time of text": ('[columns.t]\ntype = "string"\nrole = "time"\n', 3, "time and of type string"),
    "two labels": (
        '[columns.a]\ntype = "int"\nrole = "label"\n[columns.b]\ntype = "int"\nrole = "label"\n',
        6,
        "'a' and 'b' are both the label",
    ),
    "rows": ('min_rows = 3\nmax_rows = 2\n[columns.t]\ntype = "int"\n', 2, "max_rows 2"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    text, line, said = MISTAKES[name]
    path = tmp_path / "c.toml"
    path.write_text(text)
    at = "" if line is None else rf"c\.toml:{line}: .*"
    with pytest.raises(BadContract, match=at + said):
        read_contract(path)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    with pytest.raises(BadContract, match=r"c\.toml cannot be read"):
        read_contract(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadContract, match=r"c\.toml cannot be read"):
        read_contract(path)


def test_a_column_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadContract, match="'late'"):
        infer(pl.DataFrame({"late": [True]}), label="lat")
