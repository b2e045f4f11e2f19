"""Block sketches: they add up, and they read whatever arrives."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.monitoring.blocks import Scale, count, scale_of

_NUMBERS = st.one_of(
    st.none(), st.sampled_from([0.0, 1.0, float("inf"), float("-inf"), float("nan")]), st.floats()
)
_ROWS = st.lists(st.tuples(st.integers(0, 5), _NUMBERS), max_size=60)


def _columns(rows: list[tuple[int, float | None]]) -> tuple[pl.Series, pl.Series]:
    values = pl.Series([v for _, v in rows], dtype=pl.Float64)
    return values, pl.Series([b for b, _ in rows], dtype=pl.Int64)


@given(_ROWS, _ROWS, st.lists(st.floats(allow_nan=False), max_size=8, unique=True))
def test_sketches_of_parts_add_up_to_the_sketch_of_the_whole(
    left: list[tuple[int, float | None]],
    right: list[tuple[int, float | None]],
    edges: list[float],
) -> None:
    scale = Scale(True, tuple(sorted(edges)))
    parts = [count(*_columns(rows), scale) for rows in (left, right)]
    whole = count(*_columns(left + right), scale)
    for merged in (parts[0].merge(parts[1]), parts[1].merge(parts[0])):
        assert merged.blocks.tolist() == whole.blocks.tolist()
        assert merged.counts.tolist() == whole.counts.tolist()
    assert whole.counts.sum() == len(left) + len(right)


def test_a_rare_value_has_an_edge_of_its_own() -> None:
    mostly_zero = pl.Series([0] * 97 + [1] * 3)
    scale = scale_of(mostly_zero)
    assert scale is not None
    assert scale.marks == (0.0,)
    blocks = pl.Series([0] * 100)
    assert count(mostly_zero, blocks, scale).levels().tolist() == [[0.0, 97.0, 0.0]]
    assert count(mostly_zero * 0 + 1, blocks, scale).levels().tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    "arrived",
    [
        pl.Series(["1.5", "x", None]),
        pl.Series([None, None, None]),
        pl.Series([[1.0], [2.0], None]),
        pl.Series([datetime(2013, 1, 1, tzinfo=UTC)] * 3),
        pl.Series([True, False, None]),
    ],
)
def test_what_the_scale_cannot_read_is_missing(arrived: pl.Series) -> None:
    blocks = pl.Series([0, 0, 0])
    for scale in (Scale(True, (1.0, 2.0)), Scale(False, ("a", "b"))):
        assert count(arrived, blocks, scale).counts.sum() == 3


def test_lists_have_no_scale_and_moments_have_one() -> None:
    assert scale_of(pl.Series([[1.0], [2.0]])) is None
    moments = scale_of(pl.Series([datetime(2013, 1, d, tzinfo=UTC) for d in range(1, 20)]))
    assert moments is not None
    assert moments.numeric


def test_a_thousand_categories_keep_thirty_and_the_rest() -> None:
    names = pl.Series([f"c{i % 1000}" for i in range(5000)])
    scale = scale_of(names)
    assert scale is not None
    assert scale.cells == 32
    assert count(names, pl.Series([0] * 5000), scale).counts[0, 30] == 5000 - 30 * 5
