"""The features of a request by name, for those who look at single columns."""

from __future__ import annotations

from typing import Any

from tidemill.models.inputs import Values
from tidemill.predictions.requests import restored
from tidemill.serving.worker.rows import Inputs, Rows, matrix_of


def features_of(rows: Rows, inputs: Inputs) -> dict[str, Values]:
    """Return features by column: as they came, or with the values that a matrix stood for."""
    if rows.columns:
        return {name: rows.columns[name] for name in inputs.names}
    columns: list[list[Any]] = matrix_of(rows).T.tolist()
    pairs = zip(inputs.types.items(), columns, strict=True)
    return {name: restored(column, type_) for (name, type_), column in pairs}
