"""Rows like those that were logged with a model, to check a twin on: around them, and beyond."""

from __future__ import annotations

import numpy as np
import polars as pl

from tidemill.core.contract import Column

_ROWS = 300


def widened(example: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    """Return the example's rows, and others whose values are drawn around and from theirs.

    Example:
        >>> columns = (Column(name="x", type="float"), Column(name="k", type="string"))
        >>> wide = widened(pl.DataFrame({"x": [1.0, 2.0], "k": ["a", "b"]}), columns)
        >>> wide.height, wide["x"].head(2).to_list(), set(wide["k"]) <= {"a", "b"}
        (302, [1.0, 2.0], True)
    """
    rng = np.random.default_rng(0)
    made = [_drawn(example[c.name], c, rng) for c in columns]
    return pl.concat([example, pl.DataFrame(made)])


def _drawn(known: pl.Series, column: Column, rng: np.random.Generator) -> pl.Series:
    at = rng.integers(0, len(known), _ROWS)
    drawn = known.gather(pl.Series(at))
    if column.type not in {"int", "float"}:
        return drawn
    values = drawn.cast(pl.Float64)
    found = known.drop_nulls().cast(pl.Float64).to_numpy()
    spread = float(max(np.std(found), np.abs(found).mean() / 2, 0.5)) if len(found) else 1.0
    moved = values + pl.Series(rng.normal(0.0, spread, _ROWS))
    return (moved.round(0) if column.type == "int" else moved).cast(known.dtype).alias(known.name)
