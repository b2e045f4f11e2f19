"""The statistics of a table's columns, in memory that does not grow with its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from tidemill.datasets.frames import batches, collect
from tidemill.datasets.records import ColumnProfile
from tidemill.datasets.sketches import (
    MOST_NAMES,
    POINTS,
    Gathering,
    NamesGathering,
    Numbers,
    count_names,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 10
COUNTED = 100_000
"""In so many rows at the most, distinct values are counted; in more, that is estimated."""
EXACT = 1_000_000
"""Of so many rows at the most, quantiles and the most frequent values are exact; of more, they are
read off sketches. A quantile's rank is off by 0.1 % of the rows at the most, and what is rarer than
one row in thousands may be missing among the most frequent."""
_SHAPELESS = (pl.List, pl.Struct, pl.Array, pl.Object, pl.Binary)


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
    columns = list(enumerate(frame.collect_schema().items()))
    queries = [q for i, (column, dtype) in columns for q in _summary(i, column, dtype)]
    answer = collect(frame.select(pl.len().alias("rows"), *queries), name).row(0, named=True)
    if answer["rows"] <= EXACT:
        queries = [q for i, (column, dtype) in columns for q in _places(i, column, dtype)]
        answer |= collect(frame.select(queries), name).row(0, named=True) if queries else {}
    else:
        answer |= _sketched(frame, dict(c for _, c in columns), name)
    return tuple(_profile(i, column, dtype, answer) for i, (column, dtype) in columns)


def _summary(i: int, column: str, dtype: pl.DataType) -> list[pl.Expr]:
    """Return what is told in one pass, without keeping any value."""
    value = pl.col(column)
    queries = [value.null_count().alias(f"{i}.missing")]
    if not isinstance(dtype, _SHAPELESS):
        queries.append(value.approx_n_unique().alias(f"{i}.distinct"))
    if dtype.is_numeric():
        number = value.cast(pl.Float64)
        queries += [
            number.mean().alias(f"{i}.mean"),
            number.std().alias(f"{i}.std"),
            number.min().alias(f"{i}.min"),
            number.max().alias(f"{i}.max"),
        ]
    return queries


def _places(i: int, column: str, dtype: pl.DataType) -> list[pl.Expr]:
    """Return what is told by putting values in order, and by counting each."""
    if isinstance(dtype, _SHAPELESS):
        return []
    value = pl.col(column)
    queries = [value.head(COUNTED).drop_nulls().n_unique().alias(f"{i}.counted")]
    if dtype.is_numeric():
        number = value.cast(pl.Float64)
        queries += [number.quantile(q).alias(f"{i}.q{q}") for q in QUANTILES]
    elif not dtype.is_temporal():
        texts = value.drop_nulls().cast(pl.String).alias("value")
        counted = texts.value_counts(sort=True, name="count")
        queries.append(counted.head(TOP).implode().alias(f"{i}.top"))
    return queries


def _sketched(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType], name: str) -> dict[str, Any]:
    """Return the same, read a part after the other."""
    numbers = {c: Gathering() for c, dtype in schema.items() if dtype.is_numeric()}
    named = {
        c: NamesGathering(MOST_NAMES)
        for c, dtype in schema.items()
        if not (dtype.is_numeric() or dtype.is_temporal() or isinstance(dtype, _SHAPELESS))
    }
    for batch in batches(frame.select(*numbers, *named), name):
        for column, gathering in numbers.items():
            values = batch[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
            gathering.add(Numbers.of(values, points=POINTS))
        for column, names in named.items():
            names.add(count_names(batch[column], MOST_NAMES))
    found: dict[str, Any] = {}
    for i, column in enumerate(schema):
        if column in numbers:
            values = numbers[column].result().quantiles(np.array(QUANTILES))
            found |= {f"{i}.q{q}": v for q, v in zip(QUANTILES, values.tolist(), strict=False)}
        elif column in named:
            whole = named[column].result()
            pairs = zip(whole.names[:TOP], whole.counts[:TOP].tolist(), strict=True)
            found[f"{i}.top"] = [{"value": value, "count": many} for value, many in pairs]
    return found


def _profile(i: int, column: str, dtype: pl.DataType, answer: dict[str, Any]) -> ColumnProfile:
    rows = answer["rows"] or 1
    quantiles: tuple[float, ...] = ()
    if answer.get(f"{i}.min") is not None and answer.get(f"{i}.q0.5") is not None:
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
        top=tuple((str(entry["value"]), entry["count"] / rows) for entry in top),
    )


def _distinct(i: int, answer: dict[str, Any]) -> int:
    """Return how many values there are, missing ones apart."""
    if answer["rows"] <= COUNTED:
        return answer.get(f"{i}.counted") or 0
    # The estimate counts what is missing as a value, and can exceed what there is.
    present = answer["rows"] - answer[f"{i}.missing"]
    found = (answer.get(f"{i}.distinct") or 0) - bool(answer[f"{i}.missing"])
    return int(min(max(found, 0), present))
