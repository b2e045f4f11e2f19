"""The statistics of a table's columns, in one pass."""

from __future__ import annotations

from typing import Any

import polars as pl

from tidemill.datasets.frames import collect
from tidemill.datasets.records import ColumnProfile

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 10
COUNTED = 100_000
"""In so many rows at the most, distinct values are counted; in more, that is estimated."""


def profile(frame: pl.LazyFrame, *, name: str = "The table") -> tuple[ColumnProfile, ...]:
    """Return every column's statistics.

    Args:
        frame: The table.
        name: What it is called in messages.

    Raises:
        UnreadableData: The table cannot be read to its end.

    Example:
        >>> rows = pl.LazyFrame({"temp": [10.0, None, 30.0]})
        >>> column = profile(rows)[0]
        >>> column.mean, round(column.missing, 3)
        (20.0, 0.333)
    """
    schema = frame.collect_schema()
    queries: list[pl.Expr] = [pl.len().alias("rows")]
    for i, (column, dtype) in enumerate(schema.items()):
        queries += _queries(i, column, dtype)
    answer = collect(frame.select(queries), name).row(0, named=True)
    return tuple(
        _profile(i, column, dtype, answer) for i, (column, dtype) in enumerate(schema.items())
    )


def _queries(i: int, column: str, dtype: pl.DataType) -> list[pl.Expr]:
    value = pl.col(column)
    queries = [value.null_count().alias(f"{i}.missing")]
    if isinstance(dtype, pl.List | pl.Struct | pl.Array | pl.Object | pl.Binary):
        return queries
    queries.append(value.approx_n_unique().alias(f"{i}.distinct"))
    queries.append(value.head(COUNTED).drop_nulls().n_unique().alias(f"{i}.counted"))
    if dtype.is_numeric():
        number = value.cast(pl.Float64)
        queries += [
            number.mean().alias(f"{i}.mean"),
            number.std().alias(f"{i}.std"),
            number.min().alias(f"{i}.min"),
            number.max().alias(f"{i}.max"),
            *(number.quantile(q).alias(f"{i}.q{q}") for q in QUANTILES),
        ]
    elif not dtype.is_temporal():
        queries.append(
            value.drop_nulls()
            .cast(pl.String)
            .value_counts(sort=True)
            .head(TOP)
            .implode()
            .alias(f"{i}.top")
        )
    return queries


def _profile(i: int, column: str, dtype: pl.DataType, answer: dict[str, Any]) -> ColumnProfile:
    rows = answer["rows"] or 1
    quantiles: tuple[float, ...] = ()
    if answer.get(f"{i}.min") is not None:
        ends = (answer[f"{i}.min"], *(answer[f"{i}.q{q}"] for q in QUANTILES), answer[f"{i}.max"])
        quantiles = tuple(float(v) for v in ends)
    top = answer.get(f"{i}.top") or []
    return ColumnProfile(
        name=column,
        type=str(dtype),
        missing=answer[f"{i}.missing"] / rows,
        distinct=_distinct(i, answer),
        mean=answer.get(f"{i}.mean"),
        std=answer.get(f"{i}.std"),
        quantiles=quantiles,
        top=tuple((str(entry[column]), entry["count"] / rows) for entry in top),
    )


def _distinct(i: int, answer: dict[str, Any]) -> int:
    """Return how many values there are, missing ones apart."""
    if answer["rows"] <= COUNTED:
        return answer.get(f"{i}.counted") or 0
    # The estimate counts what is missing as a value, and can exceed what there is.
    present = answer["rows"] - answer[f"{i}.missing"]
    found = (answer.get(f"{i}.distinct") or 0) - bool(answer[f"{i}.missing"])
    return int(min(max(found, 0), present))
