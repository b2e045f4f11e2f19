"""Arrow columns as what an encoder takes, without a Python object a value where possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from tidemill.core.contract import Column
from tidemill.models.inputs import Values
from tidemill.serving.batch.errors import InputUnreadable


def values_of(column: Column, array: pa.Array) -> Values:
    """Return the values of one column.

    Raises:
        InputUnreadable: The column is of a nested type.
    """
    if pa.types.is_nested(array.type):
        raise InputUnreadable(
            f"Column {column.name!r} is nested ({array.type}).", expected="one value a row"
        )
    if pa.types.is_null(array.type):
        return [None] * len(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_temporal(array.type):
        return _moments(array)
    if pa.types.is_boolean(array.type):
        plain: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return plain if not array.null_count else array.to_pylist()
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        numbers: NDArray[Any] = (
            array.cast(pa.float64(), safe=False) if array.null_count else array
        ).to_numpy(zero_copy_only=False)
        return numbers
    return _texts(array)


def _moments(array: pa.Array) -> NDArray[Any]:
    moments: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return moments


def _texts(array: pa.Array) -> NDArray[Any]:
    """Return strings as objects that are shared where the same string comes again."""
    coded = pyarrow.compute.dictionary_encode(array)
    words = np.empty(len(coded.dictionary) + 1, dtype=object)
    words[:-1] = coded.dictionary.to_pylist()
    words[-1] = None
    codes = pyarrow.compute.fill_null(coded.indices, len(coded.dictionary))
    found: NDArray[Any] = words[codes.to_numpy(zero_copy_only=False)]
    return found
