"""The rows of a request, whichever protocol brought them, checked and in their model's form."""

from __future__ import annotations

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


class Rows(msgspec.Struct, frozen=True):
    """Rows for one model version.

    Attributes:
        count: How many.
        columns: As they came, features only; nothing where they came as one matrix.
        matrices: As the model takes them.
        keys: The values of the contract's key column, where the request has it.
    """

    count: int
    columns: Mapping[str, Values]
    matrices: list[NDArray[Any]]
    keys: list[str | None] | None = None

    def features(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the rows by feature, as the log keeps them."""
        if self.columns:
            return {name: listed(values) for name, values in self.columns.items()}
        return dict(zip(names, self.matrices[0].T.tolist(), strict=True))


class Inputs:
    """What a model takes.

    Args:
        signature: Names the features.
        contract: Names the columns that may come along without reaching the model.
        encoder: Checks features and puts them into the model's form.
    """

    def __init__(self, signature: Signature, contract: Contract, encoder: Encoder) -> None:
        self.names = tuple(c.name for c in signature.features)
        self.types = {c.name: c.type for c in signature.features}
        self.text = bool(signature.texts)
        self._features = frozenset(self.names)
        self._passengers = frozenset(contract.names) - self._features
        self._key = contract.key.name if contract.key else None
        self._encoder = encoder

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

    def matrix(self, numbers: NDArray[np.float64]) -> Rows:
        """Check a matrix with a column for every feature, and return it as rows.

        Raises:
            InvalidInput: It holds what the contract does not allow.
        """
        return Rows(len(numbers), {}, self._encoder.encode_matrix(numbers))

    def _keys(self, columns: Mapping[str, Values], count: int) -> list[str | None] | None:
        values = None if self._key is None else columns.get(self._key)
        if values is None:
            return None
        if len(values) != count:
            raise InvalidInput(
                f"Column {self._key!r} has {len(values)} values.",
                column=self._key or "",
                expected=f"{count}, as many as {self.names[0]!r} has",
            )
        return [None if v is None else str(v) for v in listed(values)]

    def _check_passengers(self, columns: Mapping[str, Values]) -> None:
        for name in columns:
            if name not in self._features and name not in self._passengers:
                raise InvalidInput(
                    f"There is no column {name!r}.",
                    column=name,
                    expected=nearest(name, self.names),
                )


def listed(values: Values) -> list[Any]:
    """Return values as a list of Python's own."""
    if values.__class__ is list:
        return values
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
