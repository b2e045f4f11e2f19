"""What a comparison of two tables holds: a column's part, and the whole."""

from __future__ import annotations

import msgspec


class ColumnComparison(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column of two tables differs.

    Attributes:
        column: Its name.
        kind: `numeric` or `categorical`.
        moved: Whether it counts, after correction for the number of columns and with the least
            effect that matters.
        p_value: The chance of such a difference between two samples of independent rows.
        effect: The largest difference of the distribution functions (numbers), or the total
            variation distance (categories): 0 to 1.
        distances: The classical ones, by name.
        reference: What is usual, in words.
        current: What is now.
        missing_reference: The share of missing values.
        missing: The same now.
        marks: Where the curves are read: probabilities (numbers), or the categories.
        curve_reference: Quantiles at the marks, or shares.
        curve: The same now.
        unseen: The share of values now that the reference does not know; categories only.
        moments: Whether the quantiles are moments, in microseconds since 1970.
        error: By how much the shares behind the figures can be off, where they were read from
            sketches; 0 where every value was.
    """

    column: str
    kind: str
    moved: bool
    p_value: float
    effect: float
    distances: dict[str, float]
    reference: str
    current: str
    missing_reference: float
    missing: float
    marks: tuple[float | str, ...]
    curve_reference: tuple[float, ...]
    curve: tuple[float, ...]
    unseen: float = 0.0
    moments: bool = False
    error: float = 0.0


class ComparedTables(msgspec.Struct, frozen=True, kw_only=True):
    """How far two tables differ; shows itself in a notebook.

    Attributes:
        rows_reference: The reference's rows.
        rows: The rows now.
        columns: The columns that both have, the farthest moved first.
        added: Columns that are new.
        removed: Columns that are gone.
        notes: What could not be judged, and why.
    """

    rows_reference: int
    rows: int
    columns: tuple[ColumnComparison, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[str, ...]:
        """The names of the columns that moved."""
        return tuple(c.column for c in self.columns if c.moved)
