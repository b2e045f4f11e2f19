"""From the columns of a request to what ONNX Runtime takes, checked by the contract on the way.

Part of the hot path: NumPy only. A single row is checked in plain Python, where NumPy's cost a
call would dominate; many rows are checked a column at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tidemill.core.contract import Column
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.matrix import MatrixCheck
from tidemill.models.moments import to_number
from tidemill.models.records import Signature

Values = Sequence[Any] | NDArray[Any]
Columns = Mapping[str, Values]
MISSING_TEXT = "\uffff"
"""How a missing string reaches a graph: a noncharacter, which no text in interchange may hold."""
_LARGEST = float(np.finfo(np.float64).max)
_WHOLE = 2.0**63
"""What is larger has no place in a column of whole numbers, nor in the prediction log's."""
_REMEMBERED = 256
_NONE: type = type(None)


class Encoder:
    """Checks and converts the columns of requests for one signature.

    Everything that is no string becomes one float64 matrix (missing: NaN; moments: microseconds
    since 1970, days: days since 1970), and the strings one object matrix (missing:
    `MISSING_TEXT`); both have their columns in the order of the signature.

    Args:
        signature: Names the columns and what may stand in them.
        refuse_out_of_contract: Whether a value outside a column's range or set is refused. Types,
            missing columns and missing values that may not be missing always are.
    """

    def __init__(self, signature: Signature, *, refuse_out_of_contract: bool = True) -> None:
        features = (*signature.numbers, *signature.texts)
        self._names = tuple(c.name for c in signature.features)
        self._pick = picker(tuple(c.name for c in features))
        self._features = features
        self._split = len(signature.numbers)
        self._kinds = tuple(_kinds(c) for c in features)
        self._moments = tuple(i for i, c in enumerate(features) if c.type in {"datetime", "date"})
        self._rules = _Rules(features, strict=refuse_out_of_contract)
        self._matrix = MatrixCheck(signature.numbers, strict=refuse_out_of_contract)
        # What was found of a row's types, by those types: where whole numbers must be looked for.
        self._known: dict[tuple[type, ...], tuple[int, ...]] = {}

    def encode(self, columns: Columns) -> tuple[list[NDArray[Any]], int]:
        """Return the matrices (numbers, then strings, where there are any) and the number of rows.

        Raises:
            InvalidInput: A column is missing, has another length than the first, or holds a value
                of another type or outside the contract.
        """
        try:
            picked = self._pick(columns)
        except KeyError as error:
            raise self._missing(str(error.args[0]), columns) from None
        if set(map(type, picked)) == {list} and set(map(len, picked)) == {1}:
            return self._row([values[0] for values in picked]), 1
        rows = self._count(picked)
        return self._rows(picked, rows), rows

    def encode_matrix(self, numbers: NDArray[np.floating[Any]]) -> list[NDArray[Any]]:
        """Check rows that came as one matrix, for a model that takes no strings.

        Args:
            numbers: A column for every feature, in the order of the signature.

        Raises:
            InvalidInput: A value is of another type than its column, or outside the contract.
        """
        if not self._matrix.fits(numbers):
            self._refuse_matrix(numbers.astype(np.float64, copy=False))
        return [numbers]

    def _refuse_matrix(self, numbers: NDArray[np.float64]) -> None:
        for at, column in enumerate(self._features):
            if column.type == "int":
                _check_whole(column, numbers[:, at])
            elif column.type == "bool":
                _check_truths(column, numbers[:, at])
        self._rules.check_numbers(numbers)

    def _row(self, row: list[Any]) -> list[NDArray[Any]]:
        for at in self._moments:
            row[at] = to_number(self._features[at], row[at])
        kinds = tuple(map(type, row))
        whole = self._known.get(kinds)
        if whole is None:
            whole = self._admit(kinds, row)
        for at in whole:
            if not row[at].is_integer():
                _refuse_value(self._features[at], row[at])
        self._rules.check_row(row)
        split = self._split
        matrices: list[NDArray[Any]] = []
        if split:
            numbers = _numbers([row[:split]], self._features[:split])
            # A missing value is NaN, and so is the largest of it and any other.
            if not np.abs(numbers).max() < _WHOLE:
                self._rules.check_extremes(numbers)
            matrices.append(numbers)
        if split < len(row):
            texts = np.empty((1, len(row) - split), dtype=object)
            for at in range(split, len(row)):
                value = row[at]
                if value is None:
                    value = MISSING_TEXT
                elif not value.isascii():
                    _check_text(self._features[at], value)
                texts[0, at - split] = value
            matrices.append(texts)
        return matrices

    def _admit(self, kinds: tuple[type, ...], row: list[Any]) -> tuple[int, ...]:
        """Check a row's types and return where an integer came as a float; remember both."""
        whole = []
        for at, (kind, allowed) in enumerate(zip(kinds, self._kinds, strict=True)):
            if kind not in allowed:
                _refuse_value(self._features[at], row[at])
            if kind is float and self._features[at].type == "int":
                whole.append(at)
        if len(self._known) < _REMEMBERED:
            self._known[kinds] = tuple(whole)
        return tuple(whole)

    def _rows(self, picked: tuple[Values, ...], rows: int) -> list[NDArray[Any]]:
        split = self._split
        matrices: list[NDArray[Any]] = []
        if split:
            numbers = np.empty((rows, split), dtype=np.float64)
            for at in range(split):
                numbers[:, at] = _number_column(self._features[at], self._kinds[at], picked[at])
            self._rules.check_numbers(numbers)
            matrices.append(numbers)
        if split < len(picked):
            texts = np.empty((rows, len(picked) - split), dtype=object)
            for at in range(split, len(picked)):
                listed = _text_column(self._features[at], self._kinds[at], picked[at])
                self._rules.check_texts(at, listed)
                texts[:, at - split] = (
                    [MISSING_TEXT if v is None else v for v in listed] if None in listed else listed
                )
            matrices.append(texts)
        return matrices

    def _count(self, picked: tuple[Values, ...]) -> int:
        lengths = [
            _length(column, values) for column, values in zip(self._features, picked, strict=True)
        ]
        for column, length in zip(self._features, lengths, strict=True):
            if length != lengths[0]:
                raise InvalidInput(
                    f"Column {column.name!r} has {length} values.",
                    column=column.name,
                    expected=f"{lengths[0]}, as many as {self._features[0].name!r} has",
                )
        if lengths[0] == 0:
            raise InvalidInput("The request holds no rows.", expected="one row or more")
        return lengths[0]

    def _missing(self, name: str, columns: Columns) -> InvalidInput:
        unknown = [c for c in columns if c not in self._names]
        close = nearest(name, unknown) if unknown else ""
        return InvalidInput(
            f"Column {name!r} is missing.",
            column=name,
            rule="absent",
            expected="the columns " + ", ".join(map(repr, self._names)),
            hint=f"Did you mean {close} to be it?" if close and "one of" not in close else "",
        )


class _Rules:
    """The ranges and sets of a contract, for one row and for many."""

    def __init__(self, features: Sequence[Column], *, strict: bool) -> None:
        self._features = features
        numbers = [c for c in features if c.type != "string"]
        ranged = {i: _range_of(c) for i, c in enumerate(numbers) if strict and _is_ranged(c)}
        self._ranges = tuple((at, low, high) for at, (low, high) in ranged.items())
        self._sets = tuple(
            (at, frozenset(c.values) | ({None} if c.nullable else frozenset()))
            for at, c in enumerate(features)
            if strict and c.values is not None
        )
        self._text_sets = {at: known for at, known in self._sets if at >= len(numbers)}
        self._number_sets = tuple(
            (at, np.array([float(v) for v in features[at].values or ()]))
            for at, _ in self._sets
            if at < len(numbers)
        )
        self._required = np.array([not c.nullable for c in numbers], dtype=bool)
        # Infinity is outside every range, so that one comparison finds it too.
        most = [_WHOLE if c.type == "int" else _LARGEST for c in numbers]
        limits = [ranged.get(i, (-end, end)) for i, end in enumerate(most)]
        self._low = np.array([max(low, -end) for (low, _), end in zip(limits, most, strict=True)])
        self._high = np.array([min(high, end) for (_, high), end in zip(limits, most, strict=True)])

    def check_row(self, row: list[Any]) -> None:
        for at, low, high in self._ranges:
            value = row[at]
            if value is not None and (value < low or value > high):
                _refuse_range(self._features[at], value)
        for at, known in self._sets:
            value = row[at]
            if value not in known and not _is_nan(value):
                _refuse_set(self._features[at], value)

    def check_extremes(self, numbers: NDArray[np.float64]) -> None:
        self.check_finite(numbers)
        self._check_ranges(numbers)

    def check_finite(self, numbers: NDArray[np.float64]) -> None:
        missing = np.isnan(numbers)
        if (missing & self._required).any():
            _refuse_missing(self._features[int((missing & self._required).any(axis=0).argmax())])
        infinite = np.isinf(numbers)
        if infinite.any():
            at = int(infinite.any(axis=0).argmax())
            _refuse_range(self._features[at], numbers[infinite][0])

    def check_numbers(self, numbers: NDArray[np.float64]) -> None:
        self._check_ranges(numbers)
        if self._required.any():
            self.check_finite(numbers)
        for at, known in self._number_sets:
            values = numbers[:, at]
            bad = ~(np.isin(values, known) | np.isnan(values))
            if bad.any():
                _refuse_set(self._features[at], values[bad][0])

    def _check_ranges(self, numbers: NDArray[np.float64]) -> None:
        outside = (numbers < self._low) | (numbers > self._high)
        if outside.any():
            at = int(outside.any(axis=0).argmax())
            _refuse_range(self._features[at], numbers[outside[:, at], at][0])

    def check_texts(self, at: int, values: list[Any]) -> None:
        known = self._text_sets.get(at)
        if known is None:
            return
        unknown = set(values) - known
        if unknown:
            _refuse_set(self._features[at], min(unknown, key=str))


def picker(names: tuple[str, ...]) -> Callable[[Columns], tuple[Values, ...]]:
    """Return what takes the columns of some names, in their order."""
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda _: ()
    return lambda columns: (columns[names[0]],)


def _kinds(column: Column) -> frozenset[type]:
    """The Python types in which a column's values may come."""
    kinds: dict[str, set[type]] = {"string": {str}, "bool": {bool}}
    return frozenset(kinds.get(column.type, {int, float}) | ({_NONE} if column.nullable else set()))


def _is_ranged(column: Column) -> bool:
    return column.min is not None or column.max is not None


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _range_of(column: Column) -> tuple[float, float]:
    return (
        -_LARGEST if column.min is None else column.min,
        _LARGEST if column.max is None else column.max,
    )


def _length(column: Column, values: Values) -> int:
    if isinstance(values, np.ndarray):
        if values.ndim == 1:
            return len(values)
        raise InvalidInput(
            f"Column {column.name!r} has {values.ndim} dimensions.",
            column=column.name,
            expected="one value a row",
        )
    if isinstance(values, list | tuple):
        return len(values)
    raise InvalidInput(
        f"Column {column.name!r} is {_shown(values)}.",
        column=column.name,
        expected="a list with one value a row",
    )


def _numbers(rows: list[list[Any]], features: Sequence[Column]) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=np.float64)
    except OverflowError:
        _refuse_overflow(rows[0], features)


def _number_column(column: Column, kinds: frozenset[type], values: Values) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "O":
            values = values.tolist()
        else:
            return _typed_column(column, values)
    if column.type in {"datetime", "date"}:
        values = [to_number(column, v) for v in values]
    found = set(map(type, values))
    if not found <= kinds:
        _refuse_value(column, next(v for v in values if type(v) not in kinds))
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        _refuse_overflow(list(values), [column] * len(values))
    if column.type == "int" and float in found:
        _check_whole(column, array)
    return array


def _typed_column(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    kind = values.dtype.kind
    if kind == "M" and column.type in {"datetime", "date"}:
        unit = "us" if column.type == "datetime" else "D"
        moments: NDArray[Any] = values.astype(f"datetime64[{unit}]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64))
    if (kind == "b") != (column.type == "bool") or kind not in "iufb":
        _refuse_value(column, values[0].item() if hasattr(values[0], "item") else values[0])
    if column.type == "int" and kind == "f":
        _check_whole(column, values)
    return values


def _check_whole(column: Column, values: NDArray[Any]) -> None:
    broken = (np.floor(values) != values) & ~np.isnan(values)
    if broken.any():
        _refuse_value(column, float(values[broken][0]))


def _check_truths(column: Column, values: NDArray[Any]) -> None:
    broken = (values != 0.0) & (values != 1.0) & ~np.isnan(values)
    if broken.any():
        _refuse_value(column, float(values[broken][0]))


def _text_column(column: Column, kinds: frozenset[type], values: Values) -> list[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not set(map(type, listed)) <= kinds:
        _refuse_value(column, next(v for v in listed if type(v) not in kinds))
    for value in listed:
        if value is not None and not value.isascii():
            _check_text(column, value)
    return listed


def _check_text(column: Column, value: str) -> None:
    """Refuse what cannot be written as UTF-8: a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse_value(column, value)


def _refuse_value(column: Column, value: object) -> NoReturn:
    if value is None or _is_nan(value):
        _refuse_missing(column)
    wanted = {
        "bool": "true or false",
        "int": "whole numbers",
        "float": "numbers",
        "string": "strings",
        "datetime": "moments such as 2013-02-01T06:30:00Z",
        "date": "days such as 2013-02-01",
    }[column.type]
    raise InvalidInput(
        f"Column {column.name!r} holds {_shown(value)}.",
        column=column.name,
        rule="type",
        expected=wanted + (", or null where a value is missing" if column.nullable else ""),
    )


def _refuse_missing(column: Column) -> NoReturn:
    raise InvalidInput(
        f"Column {column.name!r} has a missing value.",
        column=column.name,
        rule="missing",
        expected="a value in every row",
    )


def _refuse_overflow(row: list[Any], features: Sequence[Column]) -> NoReturn:
    for column, value in zip(features, row, strict=False):
        if isinstance(value, int) and abs(value) > _LARGEST:
            _refuse_value(column, value)
    raise InvalidInput("A number is too large.", expected="numbers of 64 bits")


def _refuse_range(column: Column, value: float) -> NoReturn:
    low, high = column.min, column.max
    if low is None and high is None:
        expected = "whole numbers of 64 bits" if column.type == "int" else "finite numbers"
    elif low is None:
        expected = f"at most {high:g}"
    else:
        expected = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
    raise InvalidInput(
        f"Column {column.name!r} holds {_shown(value)}.",
        column=column.name,
        rule="range",
        expected=expected,
    )


def _refuse_set(column: Column, value: object) -> NoReturn:
    if value is None:
        _refuse_missing(column)
    raise InvalidInput(
        f"Column {column.name!r} holds {_shown(value)}.",
        column=column.name,
        rule="set",
        expected=nearest(str(value), [str(a) for a in column.values or ()]),
    )


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) > 10**30:
        return "an integer of more than 30 digits"
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
