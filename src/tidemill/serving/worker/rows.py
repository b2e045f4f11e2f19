"""The rows of a request, whichever protocol brought them, in the form that its model wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.core.contract import Contract
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.records import Signature

Values = Sequence[Any] | NDArray[Any]
NumberList = list[float | None]


class Rows(msgspec.Struct, frozen=True):
    """Rows for one model.

    Attributes:
        count: How many.
        row: The only row of a model without text, in the order of the signature.
        matrix: Several rows of a model without text, one column a feature.
        columns: The rows of a model with text, by column.
        keys: The values of the contract's key column, where the request has it.
    """

    count: int
    row: list[Any] | None = None
    matrix: NDArray[np.float64] | None = None
    columns: dict[str, list[Any]] | None = None
    keys: list[str | None] | None = None


class Inputs:
    """What a model takes, prepared once.

    Args:
        signature: Names the features.
        contract: Names the columns that may come along without reaching the model.
    """

    def __init__(self, signature: Signature, contract: Contract) -> None:
        self.features = signature.features
        self.names = tuple(c.name for c in signature.features)
        self.types = {c.name: c.type for c in signature.features}
        self.text = any(c.type == "string" for c in signature.features)
        self.key = contract.key.name if contract.key else None
        self.passengers = frozenset(contract.names) - frozenset(self.names)
        self._name_set = frozenset(self.names)

    def rows(self, columns: Mapping[str, Values]) -> Rows:
        """Return the rows of typed columns.

        Raises:
            InvalidInput: A column is missing, unknown, or has another length than the others.
        """
        if not self._name_set.issuperset(columns):
            self._check_passengers(columns)
        try:
            values = [columns[name] for name in self.names]
        except KeyError as error:
            raise self._missing(error.args[0], columns) from None
        count = len(values[0]) if values else 0
        for name, column in zip(self.names, values, strict=True):
            if len(column) != count:
                raise InvalidInput(
                    f"Column {name!r} has {len(column)} values.",
                    column=name,
                    expected=f"{count}, as many as {self.names[0]!r} has",
                )
        if count == 0:
            raise InvalidInput("The request holds no rows.", expected="one row or more")
        keys = self._keys(columns, count)
        if self.text:
            named = zip(self.names, values, strict=True)
            return Rows(count, columns={n: _listed(v) for n, v in named}, keys=keys)
        if count == 1:
            return Rows(1, row=[v[0] for v in values], keys=keys)
        return Rows(count, matrix=_matrix(values), keys=keys)

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
        return [None if v is None else str(v) for v in _listed(values)]

    def _check_passengers(self, columns: Mapping[str, Values]) -> None:
        for name in columns:
            if name not in self._name_set and name not in self.passengers:
                raise InvalidInput(
                    f"There is no column {name!r}.",
                    column=name,
                    expected=nearest(name, self.names),
                )

    def _missing(self, name: str, columns: Mapping[str, Values]) -> InvalidInput:
        return InvalidInput(
            f"Column {name!r} is missing.",
            column=name,
            expected="the columns " + ", ".join(map(repr, self.names)),
            hint=f"The request has {nearest(name, columns)}." if columns else "",
        )


def typed(values: Any, type_: str, name: str) -> Values:
    """Return plain JSON values as a column of a type, or say which value does not fit.

    Raises:
        InvalidInput: A value is of another type.
    """
    wanted: Any = {"string": list[str | None], "bool": list[bool | None]}.get(type_, NumberList)
    try:
        column: Values = msgspec.convert(values, wanted)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"Column {name!r}: {error}.", column=name) from None
    return column


def _listed(values: Values) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _matrix(values: Sequence[Values]) -> NDArray[np.float64]:
    matrix = np.empty((len(values[0]), len(values)), dtype=np.float64)
    for i, column in enumerate(values):
        matrix[:, i] = column
    return matrix
