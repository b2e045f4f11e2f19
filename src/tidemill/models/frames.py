"""Polars frames as the columns that an encoder takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.models.inputs import Values
from tidemill.models.records import Signature

TYPES: dict[str, Any] = {
    "bool": pl.Boolean,
    "int": pl.Int64,
    "float": pl.Float64,
    "string": pl.String,
    "datetime": pl.Datetime("us"),
    "date": pl.Date,
}
"""How Polars holds what a contract names."""


def columns_of(frame: pl.DataFrame, signature: Signature) -> dict[str, Values]:
    """Return the features of a frame, without a Python object a value where there need be none."""
    return {c.name: _values(frame[c.name]) for c in signature.features if c.name in frame.columns}


def _values(series: pl.Series) -> Values:
    if series.dtype.is_numeric():
        floats: NDArray[Any] = series.cast(pl.Float64).to_numpy()
        return floats
    if series.dtype == pl.Null:
        return [None] * len(series)
    if series.dtype in {pl.Datetime, pl.Date}:
        moments: NDArray[Any] = series.to_numpy()
        return moments
    if series.dtype == pl.Boolean and not series.null_count():
        flags: NDArray[np.bool_] = series.to_numpy()
        return flags
    return series.to_list()
