"""Checks rows of plain numbers all at once: what `Encoder` does, for models without text.

Part of the hot path: a handful of NumPy calls for any number of rows and columns, where a check a
column would cost more than the model.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from tidemill.core.contract import Column
from tidemill.models.inputs import Encoder
from tidemill.models.records import Signature


class MatrixEncoder:
    """Checks matrices of float64 with one column a feature, in the order of the signature.

    Args:
        signature: Names the columns and what may stand in them; no column holds text.
        encoder: Says what is wrong, in words, once something is.
        refuse_out_of_contract: Whether a value outside a column's range or set is refused.
    """

    def __init__(
        self, signature: Signature, encoder: Encoder, *, refuse_out_of_contract: bool = True
    ) -> None:
        features = signature.features
        self._encoder = encoder
        self._names = [c.name for c in features]
        self._booleans = frozenset(c.name for c in features if c.type == "bool")
        # The largest finite numbers as limits: an infinity fails the same test.
        largest = sys.float_info.max
        strict = refuse_out_of_contract
        self._low = np.array([_limit(c.min, -largest, c, strict=strict) for c in features])
        self._high = np.array([_limit(c.max, largest, c, strict=strict) for c in features])
        self._required = [i for i, c in enumerate(features) if not c.nullable]
        self._whole = [i for i, c in enumerate(features) if c.type == "int"]
        self._sets = [
            (i, np.asarray(c.values, dtype=np.float64))
            for i, c in enumerate(features)
            if strict and c.values is not None and c.type != "bool"
        ]

    def check(self, matrix: NDArray[np.float64]) -> None:
        """Return if every value may stand where it stands.

        Raises:
            InvalidInput: One may not; the column is named.
        """
        if not self._fits(matrix):
            self._encoder.encode(self.columns(matrix))

    def columns(self, matrix: NDArray[np.float64]) -> dict[str, NDArray[np.float64] | list[object]]:
        """Return the matrix by column."""
        return {
            name: _truths(matrix[:, i]) if name in self._booleans else matrix[:, i].copy()
            for i, name in enumerate(self._names)
        }

    def _fits(self, matrix: NDArray[np.float64]) -> bool:
        # A missing value (NaN) fails no comparison; it is looked for apart.
        if ((matrix < self._low) | (matrix > self._high)).any():
            return False
        if self._required and np.isnan(matrix[:, self._required]).any():
            return False
        if self._whole:
            numbers = matrix[:, self._whole]
            if ((numbers != np.floor(numbers)) & (numbers == numbers)).any():  # noqa: PLR0124
                return False
        for i, allowed in self._sets:
            column = matrix[:, i]
            if not (np.isin(column, allowed) | np.isnan(column)).all():
                return False
        return True


def numeric(signature: Signature) -> bool:
    """Tell whether every column holds numbers or truths."""
    return all(c.type in {"bool", "int", "float"} for c in signature.features)


def _limit(value: float | None, otherwise: float, column: Column, *, strict: bool) -> float:
    bounded = strict and value is not None and column.type in ("int", "float")
    return float(value) if bounded and value is not None else otherwise


def _truths(values: NDArray[np.float64]) -> list[object]:
    return [None if v != v else bool(v) if v in (0.0, 1.0) else v for v in values.tolist()]  # noqa: PLR0124
