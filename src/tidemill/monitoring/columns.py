"""Columns of any type as what can be compared: ordered numbers, or names."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.datasets.sketches import Form, Names, Numbers, Sketch, count_names

Floats = NDArray[np.float64]
Kind = Literal["numeric", "categorical"]


def is_ordered(dtype: Any) -> bool:
    """Whether a type's values can be ordered as numbers."""
    return bool(dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.Boolean, pl.Null))


def is_named(dtype: Any) -> bool:
    """Whether a type's values are names."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def kind_of(dtype: Any) -> Kind | None:
    """Return how a type's values are compared, or nothing where they are not single values."""
    if is_ordered(dtype):
        return "numeric"
    return "categorical" if is_named(dtype) else None


def form_of(dtype: Any) -> Form:
    """Return how a type's values are shown."""
    if isinstance(dtype, pl.Boolean):
        return "truth"
    return "moment" if isinstance(dtype, pl.Datetime | pl.Date) else "number"


def numbers_of(values: pl.Series) -> Floats:
    """Return a column's values as numbers; NaN where there is none.

    Moments and stretches of time are microseconds, whatever unit they are stored in; text is read.

    Example:
        >>> numbers_of(pl.Series(["1.5", "x", None])).tolist()
        [1.5, nan, nan]
    """
    dtype = values.dtype
    if isinstance(dtype, pl.Date):
        values = values.cast(pl.Datetime("us")).to_physical()
    elif isinstance(dtype, pl.Datetime | pl.Duration):
        values = values.dt.cast_time_unit("us").to_physical()
    elif dtype.is_temporal():
        values = values.to_physical()
    elif is_named(dtype):
        values = values.cast(pl.String)
    elif not is_ordered(dtype):
        return np.full(len(values), np.nan)
    found = values.cast(pl.Float64, strict=False)
    return found.fill_null(float("nan")).to_numpy() if found.null_count() else found.to_numpy()


def names_of(values: pl.Series, most: int) -> Names:
    """Count a column's values by name, as `count_names` does; all are missing that have none."""
    if kind_of(values.dtype) is None:
        return Names(counts=np.zeros(0, dtype=np.int64), missing=len(values))
    return count_names(values, most)


def sketch(values: pl.Series, kind: Kind, *, points: int | None, names: int) -> Sketch:
    """Sketch a column, or a part of it.

    Args:
        values: The column, of whatever type it arrived in; what cannot be read so is missing.
        kind: What it is compared as.
        points: How many numbers to keep at the most; all where left out.
        names: How many names to keep at the most.
    """
    if kind == "categorical":
        return names_of(values, names)
    return Numbers.of(numbers_of(values), form=form_of(values.dtype), points=points)
