"""From the columns of a request to what ONNX Runtime takes, checked by the contract on the way.

Part of the hot path: NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.core.contract import Column
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.records import Signature

Values = Sequence[Any] | NDArray[Any]
Columns = Mapping[str, Values]
Convert = Callable[[Values], NDArray[Any]]
_NUMERIC = "iuf"


class Encoder:
    """Checks and converts the columns of requests for one signature.

    Numbers become float64 (missing: NaN), strings objects (missing: the empty string).

    Args:
        signature: Names the columns and what may stand in them.
        refuse_out_of_contract: Whether a value outside a column's range or set is refused. Types,
            missing columns and missing values that may not be missing always are.
    """

    def __init__(self, signature: Signature, *, refuse_out_of_contract: bool = True) -> None:
        self._names = tuple(c.name for c in signature.features)
        self._converters: tuple[tuple[str, Convert], ...] = tuple(
            (c.name, _converter(c, strict=refuse_out_of_contract)) for c in signature.features
        )

    def encode(self, columns: Columns) -> tuple[list[NDArray[Any]], int]:
        """Return one array a feature, in the order of the signature, and the number of rows.

        Raises:
            InvalidInput: A column is missing, has another length than the first, or holds a value
                of another type or outside the contract.
        """
        arrays = []
        rows = -1
        for name, convert in self._converters:
            values = columns.get(name)
            if values is None:
                raise self._missing(name, columns)
            array = convert(values)
            if rows == -1:
                rows = array.shape[0]
            elif array.shape[0] != rows:
                raise InvalidInput(
                    f"Column {name!r} has {array.shape[0]} values.",
                    column=name,
                    expected=f"{rows}, as many as {self._names[0]!r} has",
                )
            arrays.append(array)
        if rows == 0:
            raise InvalidInput("The request holds no rows.", expected="one row or more")
        return arrays, rows

    def _missing(self, name: str, columns: Columns) -> InvalidInput:
        unknown = [c for c in columns if c not in self._names]
        close = nearest(name, unknown) if unknown else ""
        return InvalidInput(
            f"Column {name!r} is missing.",
            column=name,
            expected="the columns " + ", ".join(map(repr, self._names)),
            hint=f"Did you mean {close} to be it?" if close and "one of" not in close else "",
        )


def _converter(column: Column, *, strict: bool) -> Convert:
    if column.type == "string":
        return _text(column, strict=strict)
    if column.type == "bool":
        return _boolean(column)
    return _number(column, strict=strict)


def _number(column: Column, *, strict: bool) -> Convert:
    whole = column.type == "int"
    low = column.min if strict and column.min is not None else -math.inf
    high = column.max if strict and column.max is not None else math.inf
    allowed = _allowed_numbers(column) if strict else None

    def convert(values: Values) -> NDArray[Any]:
        array = _numeric_array(column, values)
        # One test for all: a value that is missing, infinite or out of range fails it.
        inside = (array >= low) & (array <= high)
        if low == -math.inf or high == math.inf:
            inside &= np.isfinite(array)
        if not inside.all():
            _explain_number(column, array, low, high)
        if whole and not (np.floor(array) == array)[~np.isnan(array)].all():
            raise _wrong(column, values, "whole numbers")
        if allowed is not None and not np.isin(array[~np.isnan(array)], allowed).all():
            raise _not_allowed(column, array.tolist(), allowed.tolist())
        return array

    return convert


def _allowed_numbers(column: Column) -> NDArray[np.float64] | None:
    return None if column.values is None else np.asarray(column.values, dtype=np.float64)


def _numeric_array(column: Column, values: Values) -> NDArray[np.float64]:
    if isinstance(values, np.ndarray) and values.dtype == np.float64 and values.ndim == 1:
        return values
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise _wrong(column, values, "numbers") from error
    if array.ndim != 1:
        raise InvalidInput(
            f"Column {column.name!r} has {array.ndim} dimensions.",
            column=column.name,
            expected="one value a row",
        )
    if array.dtype.kind in _NUMERIC:
        return array.astype(np.float64)
    if array.dtype.kind == "O" and all(
        v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in array
    ):
        return np.array([math.nan if v is None else float(v) for v in array], dtype=np.float64)
    if array.shape[0] == 0:
        return array.astype(np.float64)
    raise _wrong(column, values, "numbers")


def _explain_number(column: Column, array: NDArray[np.float64], low: float, high: float) -> None:
    """Raise for the first value that may not stand in the column, if there is one."""
    if not column.nullable and np.isnan(array).any():
        raise InvalidInput(
            f"Column {column.name!r} has a missing value.",
            column=column.name,
            expected="a number in every row",
        )
    bad = np.isinf(array) | (array < low) | (array > high)
    if bad.any():
        raise InvalidInput(
            f"Column {column.name!r} holds {array[bad][0]:g}.",
            column=column.name,
            expected=_range(low, high),
        )


def _range(low: float, high: float) -> str:
    if low == -math.inf and high == math.inf:
        return "finite numbers"
    if low == -math.inf:
        return f"at most {high:g}"
    return f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"


def _boolean(column: Column) -> Convert:
    def convert(values: Values) -> NDArray[Any]:
        array = np.asarray(values)
        if array.ndim == 1 and array.dtype.kind == "b":
            return array.astype(np.float64)
        if column.nullable and all(v is None or isinstance(v, bool) for v in values):
            return np.array([math.nan if v is None else float(v) for v in values])
        raise _wrong(column, values, "true or false")

    return convert


def _text(column: Column, *, strict: bool) -> Convert:
    allowed = frozenset(column.values) if strict and column.values is not None else None

    def convert(values: Values) -> NDArray[Any]:
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        for value in listed:
            if value.__class__ is not str and not (value is None and column.nullable):
                raise _wrong(column, listed, "strings")
            if allowed is not None and value is not None and value not in allowed:
                raise _not_allowed(column, [value], sorted(map(str, allowed)))
        array = np.empty(len(listed), dtype=object)
        array[:] = ["" if v is None else v for v in listed]
        return array

    return convert


def _wrong(column: Column, values: Values, expected: str) -> InvalidInput:
    return InvalidInput(
        f"Column {column.name!r} holds {_culprit(values, column)!r}.",
        column=column.name,
        expected=expected + (", or null where a value is missing" if column.nullable else ""),
    )


def _culprit(values: Values, column: Column) -> object:
    """Return the first value that does not fit, shortened for the message."""
    fits: dict[str, tuple[type, ...]] = {"string": (str,), "bool": (bool,)}
    kinds = fits.get(column.type, (int, float))
    for value in values:
        known = isinstance(value, kinds) and (column.type == "bool" or value.__class__ is not bool)
        whole = column.type != "int" or not isinstance(value, float) or value.is_integer()
        if not (known and whole) and not (value is None and column.nullable):
            return value if len(repr(value)) <= 60 else repr(value)[:57] + "…"
    return "what is no list of values"


def _not_allowed(column: Column, values: list[Any], allowed: list[Any]) -> InvalidInput:
    culprit = next(v for v in values if v not in allowed)
    return InvalidInput(
        f"Column {column.name!r} holds {culprit!r}.",
        column=column.name,
        expected=nearest(str(culprit), [str(a) for a in allowed]),
    )
