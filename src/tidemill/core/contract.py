"""The contract of a table: which columns it has and what may stand in them.

One object from end to end: inferred from data, edited by people, kept in git; it validates
training data, requests at the endpoint and the edge bundle, and names what the monitor watches.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tidemill.core import digest

ColumnType = Literal["bool", "int", "float", "string", "datetime", "date"]
Role = Literal["feature", "label", "key", "time", "ignored"]
Scalar = bool | int | float | str


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one column holds, and its expectations.

    Attributes:
        name: As in the data.
        type: `datetime` is UTC with microseconds.
        role: What the column is to the model; only a `feature` reaches it.
        nullable: Whether a value may be missing.
        max_null_rate: The largest share of missing values in a batch, 0 to 1.
        min: The smallest value allowed; for numbers only.
        max: The largest value allowed; for numbers only.
        values: The only values allowed; for strings, integers and booleans.
        unique: Whether no two rows may agree.
    """

    name: str
    type: ColumnType
    role: Role = "feature"
    nullable: bool = True
    max_null_rate: float | None = None
    min: float | None = None
    max: float | None = None
    values: tuple[bool | int | str, ...] | None = None
    unique: bool = False


class Contract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The columns of a table in order, and what holds for a batch of it as a whole.

    Attributes:
        columns: In the order in which the model sees its features.
        extra_columns: What becomes of a column that is not named here.
        min_rows: The smallest batch accepted.
        max_rows: The largest batch accepted.
        max_age_seconds: How old the newest row may be when the batch arrives.
    """

    columns: tuple[Column, ...]
    extra_columns: Literal["ignore", "refuse"] = "ignore"
    min_rows: int = 1
    max_rows: int | None = None
    max_age_seconds: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(c.name for c in self.columns)

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that reach the model, in order."""
        return tuple(c for c in self.columns if c.role == "feature")

    @property
    def label(self) -> Column | None:
        """The column to be predicted."""
        return self._first("label")

    @property
    def key(self) -> Column | None:
        """The column that names a row, by which labels find their predictions."""
        return self._first("key")

    @property
    def time(self) -> Column | None:
        """The column that says when a row happened."""
        return self._first("time")

    @property
    def digest(self) -> str:
        """The digest of the whole contract."""
        return digest.of_record(self)

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or nothing."""
        return next((c for c in self.columns if c.name == name), None)

    def _first(self, role: Role) -> Column | None:
        return next((c for c in self.columns if c.role == role), None)
