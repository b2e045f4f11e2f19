"""Filters and orders become trees, or one clear error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.search.errors import BadSearch
from tidemill.core.search.parser import parse_filter, parse_order
from tidemill.core.search.syntax import Both, Comparison, Either, Negation, Order


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("  ", None),
        ("status = 'FINISHED'", Comparison("", "status", "=", "FINISHED")),
        ('"run name" like "a%"', Comparison("", "run name", "LIKE", "a%")),
        ("metrics.`val loss` >= -1e-3", Comparison("metrics", "val loss", ">=", -0.001)),
        ("params.\"a-b\" != ''", Comparison("params", "a-b", "!=", "")),
        ("tags.mlflow.user = 'it''s'", Comparison("tags", "mlflow.user", "=", "it's")),
        ("tags.x is not null", Comparison("tags", "x", "IS NOT NULL")),
        ("run_id NOT IN ('a', 'b')", Comparison("", "run_id", "NOT IN", ("a", "b"))),
        ("start_time > 1795431122644", Comparison("", "start_time", ">", 1795431122644)),
    ],
)
def test_a_comparison_is_read(text: str, expected: Comparison | None) -> None:
    assert parse_filter(text) == expected


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = (Comparison("", name, "=", 1) for name in "abc")
    assert parse_filter("a = 1 OR b = 1 and NOT c = 1") == Either((a, Both((b, Negation(c)))))
    assert parse_filter("(a = 1 OR b = 1) AND c = 1") == Both((Either((a, b)), c))


@pytest.mark.parametrize(
    "text",
    [
        "foo bar",
        "a =",
        "= 1",
        "a = 1 AND",
        "(a = 1",
        "a = 1)",
        "a = b",
        "a IN ()",
        "a IN 'x'",
        "a = 1; DROP TABLE runs",
        "a = 'x' --",
        "'a' = 'a'",
        "a = 'x",
        "a = 1x",
        "a IS 3",
        "a NOT = 3",
        "(" * 60 + "a = 1" + ")" * 60,
        "NOT " * 60 + "a = 1",
        " AND ".join(["a = 1"] * 201),
        "a IN (" + ",".join(["1"] * 1001) + ")",
        "a = '" + "x" * 64_000 + "'",
    ],
)
def test_what_cannot_be_read_is_one_clear_error(text: str) -> None:
    with pytest.raises(BadSearch) as error:
        parse_filter(text)
    assert error.value.expected
    assert len(str(error.value)) < 600


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_filter, parse_order):
        try:
            parse(text)
        except BadSearch:
            continue


@given(st.text(alphabet="ab(') =<>`\".ANDORNIT1,", max_size=60))
def test_any_text_of_the_grammar_is_read_or_refused(text: str) -> None:
    try:
        parse_filter(text)
    except BadSearch:
        return


def test_an_order_is_read() -> None:
    assert parse_order("start_time") == Order("", "start_time")
    assert parse_order(" metrics.acc DESC ") == Order("metrics", "acc", True)
    assert parse_order("params.`a b` asc") == Order("params", "a b")


@pytest.mark.parametrize("text", ["", "a b c", "a; DROP", "a DESC, b", "metrics."])
def test_an_order_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadSearch):
        parse_order(text)
