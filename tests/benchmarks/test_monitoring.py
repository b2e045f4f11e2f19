"""How the benchmark of comparisons tells what it measured, and what it could not."""

from __future__ import annotations

import sys

from benchmarks.monitoring.__main__ import render, several
from benchmarks.monitoring.tables import made


def test_the_median_of_several_runs_is_told() -> None:
    script = "print('noise'); print('{\"seconds\": 2.0, \"megabytes\": 10}')"

    assert several([sys.executable, "-c", script], 3) == {"seconds": 2.0, "megabytes": 10}


def test_a_peer_that_fails_is_told_of_by_its_last_words() -> None:
    found = several([sys.executable, "-c", "raise SystemExit('no such column')"], 3)

    assert found == "does not run: no such column"


def test_ratios_are_to_the_first_and_a_gap_is_left_where_there_is_no_figure() -> None:
    rows = list(render({"a": {"seconds": 2.0, "megabytes": 9.6}, "b": "over 120", "c": "gone"}))
    more = list(
        render({"a": {"seconds": 2.0, "megabytes": 1}, "b": {"seconds": 9, "megabytes": 3}})
    )

    assert rows[2:] == ["| a | 2.00 | 1 | 10 MB |", "| b | over 120 | | |", "| c | gone | | |"]
    assert more[3] == "| b | 9.00 | 4.5 | 3 MB |"


def test_a_part_of_the_columns_keeps_their_names_and_kinds() -> None:
    frame = made(0, rows=100, columns=range(6, 11))

    assert frame.columns == ["x6", "x7", "x8", "x9", "x10"]
    kinds = ["float", "float", "integer", "string", "float"]
    assert [_kind(frame.schema[c]) for c in frame.columns] == kinds


def _kind(dtype: object) -> str:
    name = str(dtype).lower()
    return "integer" if name.startswith("int") else "float" if name.startswith("float") else name
