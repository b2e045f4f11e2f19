"""The features of rows by name, as the log takes them: lists for few rows, arrays for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.inputs import Values
from tidemill.serving.worker.rows import FEW_ROWS, Inputs, Rows, listed, together

_KINDS: dict[str, type[bool | int | float]] = {"bool": bool, "int": int}


def features_of(rows: Sequence[Rows], inputs: Inputs) -> dict[str, Values]:
    """Return the features of the rows of several requests, all by column or all as matrices."""
    if not rows[0].columns:
        return _of_matrix(together(rows)[0], inputs)
    if len(rows) == 1 and rows[0].count > FEW_ROWS:
        return dict(rows[0].columns)
    return {name: [v for r in rows for v in listed(r.columns[name])] for name in inputs.names}


def _of_matrix(matrix: NDArray[Any], inputs: Inputs) -> dict[str, Values]:
    pairs = zip(inputs.names, inputs.types.values(), strict=True)
    if len(matrix) > FEW_ROWS:
        many = np.ascontiguousarray(matrix.T)
        return {name: _typed(many[at], type_) for at, (name, type_) in enumerate(pairs)}
    columns: list[list[Any]] = matrix.T.tolist()
    if not inputs.whole and np.isfinite(matrix.sum()):
        return dict(zip(inputs.names, columns, strict=True))
    return {
        name: _restored(column, type_) for (name, type_), column in zip(pairs, columns, strict=True)
    }


def _restored(column: list[float], type_: str) -> list[Any]:
    """Return a column of a matrix with the values as they were: NaN stood for a missing one."""
    kind = _KINDS.get(type_, float)
    return [None if value != value else kind(value) for value in column]  # noqa: PLR0124


def _typed(column: NDArray[np.float64], type_: str) -> Values:
    """Return an array of its column's type; a list where a value is missing that has no NaN."""
    kind = _KINDS.get(type_)
    if kind is None:
        return column
    return _restored(column.tolist(), type_) if np.isnan(column).any() else column.astype(kind)
