"""The rows of a request, whichever protocol brought them, checked and in their model's form."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.core.contract import Contract
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Encoder, Values
from tidemill.models.records import Signature

FEW_ROWS = 64
"""An array costs more than a list for so few rows, and much less for more."""


class Rows(msgspec.Struct, frozen=True):
    """Rows for one model version.

    Attributes:
        count: How many.
        columns: As they came, features only; nothing where they came as one matrix.
        matrices: As the model takes them; nothing where they are numbers still.
        keys: The values of the contract's key column, where the request has it.
        numbers: The one matrix as it lies in memory, where it is to be made together with others';
            few bytes, where as many objects would be kept until they are logged.
    """

    count: int
    columns: Mapping[str, Values]
    matrices: list[NDArray[Any]]
    keys: list[str | None] | None = None
    numbers: bytes | None = None


class Inputs:
    """What a model takes.

    Args:
        signature: Names the features.
        contract: Names the columns that may come along without reaching the model.
        encoder: Checks features and puts them into the model's form.
        together: Whether matrices are checked by who answers, those of many requests at once,
            instead of each as it comes.
    """

    def __init__(
        self,
        signature: Signature,
        contract: Contract,
        encoder: Encoder,
        *,
        together: bool = False,
    ) -> None:
        self.names = tuple(c.name for c in signature.features)
        self.types = {c.name: c.type for c in signature.features}
        self.text = bool(signature.texts)
        self._features = frozenset(self.names)
        self._passengers = frozenset(contract.names) - self._features
        self.key = contract.key.name if contract.key else None
        self._encoder = encoder
        self._together = together

    def rows(self, columns: Mapping[str, Values]) -> Rows:
        """Check columns and return them as rows.

        Raises:
            InvalidInput: A column is missing, unknown, has another length than the others, or
                holds what the contract does not allow.
        """
        if self._features.issuperset(columns):
            matrices, count = self._encoder.encode(columns)
            return Rows(count, columns, matrices)
        self._check_passengers(columns)
        matrices, count = self._encoder.encode(columns)
        keys = self._keys(columns, count)
        return Rows(count, {n: columns[n] for n in self.names}, matrices, keys)

    def matrix(self, numbers: NDArray[np.floating[Any]]) -> Rows:
        """Return a matrix with a column for every feature as rows.

        Args:
            numbers: Of 64 bits each. Of 32 they stay for a graph and the log, which take both.

        Raises:
            InvalidInput: It holds what the contract does not allow.
        """
        if not self._together:
            numbers = numbers.astype(np.float64, copy=False)
            self._encoder.encode_matrix(numbers)
        return Rows(len(numbers), {}, [numbers])

    def numbers(self, values: bytes, count: int) -> Rows:
        """Return the few numbers of a matrix, row by row, as rows.

        Args:
            values: One for every feature of every row, as `packed` makes them.
            count: How many rows there are.

        Raises:
            InvalidInput: They hold what the contract does not allow.
        """
        if self._together:
            return Rows(count, {}, [], None, values)
        return self.matrix(_matrix(values, count))

    def check(self, matrices: list[NDArray[Any]]) -> None:
        """Check what `matrix` has left to check.

        Raises:
            InvalidInput: A matrix holds what the contract does not allow.
        """
        if not self.text:
            self._encoder.encode_matrix(matrices[0])

    def _keys(self, columns: Mapping[str, Values], count: int) -> list[str | None] | None:
        values = None if self.key is None else columns.get(self.key)
        if values is None:
            return None
        if len(values) != count:
            raise InvalidInput(
                f"Column {self.key!r} has {len(values)} values.",
                column=self.key or "",
                expected=f"{count}, as many as {self.names[0]!r} has",
            )
        return [None if v is None else str(v) for v in listed(values)]

    def _check_passengers(self, columns: Mapping[str, Values]) -> None:
        for name in columns:
            if name not in self._features and name not in self._passengers:
                raise InvalidInput(
                    f"There is no column {name!r}.",
                    column=name,
                    rule="form",
                    expected=nearest(name, self.names),
                )


def together(rows: Sequence[Rows]) -> list[NDArray[Any]]:
    """Return the rows of several requests as the model takes them, in their order."""
    parts: list[bytes] = []
    for some in rows:
        if some.numbers is None:
            return _concatenated(rows)
        parts.append(some.numbers)
    return [_matrix(b"".join(parts), sum([some.count for some in rows]))]


def matrix_of(rows: Rows) -> NDArray[Any]:
    """Return the numbers of a request that came as one matrix."""
    return rows.matrices[0] if rows.numbers is None else _matrix(rows.numbers, rows.count)


def _concatenated(rows: Sequence[Rows]) -> list[NDArray[Any]]:
    if len(rows) == 1:
        return rows[0].matrices
    each = [r.matrices if r.numbers is None else [matrix_of(r)] for r in rows]
    return [np.concatenate(group) for group in zip(*each, strict=True)]


def _matrix(numbers: bytes, count: int) -> NDArray[np.float64]:
    return np.frombuffer(numbers).reshape(count, -1)


def packed(values: list[float | None]) -> bytes:
    """Return numbers as they lie in an array; a missing one as NaN.

    Example:
        >>> np.frombuffer(packed([1.5, None])).tolist()
        [1.5, nan]
    """
    try:  # In half the time that NumPy takes, which asks each value what it is.
        return struct.pack(f"{len(values)}d", *values)
    except struct.error:
        return np.array(values, dtype=np.float64).tobytes()


def listed(values: Values) -> list[Any]:
    """Return values as a list of Python's own."""
    if values.__class__ is list:
        return values
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
