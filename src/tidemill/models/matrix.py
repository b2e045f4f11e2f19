"""Checks rows of plain numbers all at once, for models without text.

Part of the hot path: a handful of NumPy calls for any number of rows and columns. It only tells
whether all is well; what is wrong, and where, is for others to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.core.contract import Column

_LARGEST = float(np.finfo(np.float64).max)


class MatrixCheck:
    """Tells whether every value of a matrix may stand where it stands.

    Args:
        features: The matrix's columns; none of them holds text.
        strict: Whether a value outside a column's range or set is refused.
    """

    def __init__(self, features: Sequence[Column], *, strict: bool) -> None:
        limits = [_limits(c, strict=strict) for c in features]
        self._low = np.array([low for low, _ in limits])
        self._high = np.array([high for _, high in limits])
        self._is_bounded = any(pair != (-_LARGEST, _LARGEST) for pair in limits)
        self._required = [i for i, c in enumerate(features) if not c.nullable]
        self._whole = [i for i, c in enumerate(features) if c.type in {"int", "bool"}]
        self._sets = [
            (i, np.array([float(v) for v in c.values]))
            for i, c in enumerate(features)
            if strict and c.values is not None
        ]

    def fits(self, matrix: NDArray[np.floating[Any]]) -> bool:
        """Tell whether all of it does.

        Example:
            >>> check = MatrixCheck([Column(name="a", type="float", max=1.0)], strict=True)
            >>> [check.fits(np.array([[value]])) for value in (0.5, 1.5, np.nan, np.inf)]
            [True, False, True, False]
        """
        if not self._within(matrix) and not self._misses(matrix):
            return False
        if self._whole:
            numbers = matrix[:, self._whole]
            if ((numbers != np.floor(numbers)) & ~np.isnan(numbers)).any():
                return False
        for at, allowed in self._sets:
            column = matrix[:, at]
            if not (np.isin(column, allowed) | np.isnan(column)).all():
                return False
        return True

    def _within(self, matrix: NDArray[np.floating[Any]]) -> bool:
        """Tell whether every value is in its range; a missing one (NaN) is in none."""
        # Where every number is allowed, a finite sum says that each is one.
        if not self._is_bounded and isfinite(matrix.sum(dtype=np.float64)):
            return True
        return bool(((matrix >= self._low) & (matrix <= self._high)).all())

    def _misses(self, matrix: NDArray[np.floating[Any]]) -> bool:
        """Tell whether what is in no range is only missing, where values may be missing."""
        if ((matrix < self._low) | (matrix > self._high)).any():
            return False
        return not (self._required and np.isnan(matrix[:, self._required]).any())


def _limits(column: Column, *, strict: bool) -> tuple[float, float]:
    """Return a column's range; infinity is outside every one."""
    if column.type == "bool":
        return 0.0, 1.0
    low = column.min if strict else None
    high = column.max if strict else None
    return -_LARGEST if low is None else float(low), _LARGEST if high is None else float(high)
