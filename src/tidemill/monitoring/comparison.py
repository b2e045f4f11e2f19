"""Compares any two tables, with no server and no model: `tidemill.compare(reference, current)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.errors import Usage
from tidemill.datasets.sketches import POINTS, Names, Sketch
from tidemill.monitoring.columns import Kind, kind_of
from tidemill.monitoring.compared import ColumnComparison, ComparedTables
from tidemill.monitoring.drift import benjamini_hochberg
from tidemill.monitoring.measures import measure
from tidemill.monitoring.prepared import Prepared, prepare, sketch_column
from tidemill.monitoring.tables import NotATable, Table, in_threads, open_table, table

__all__ = ["Comparison", "NotATable", "Prepared", "compare", "prepare", "table"]


class Comparison(ComparedTables, frozen=True, kw_only=True):
    """A comparison that can be kept, sent and shown."""

    def to_json(self) -> str:
        """Return everything as JSON."""
        return msgspec.json.encode(self).decode()

    def to_html(self) -> str:
        """Return one page with plots, which needs nothing else."""
        from tidemill.monitoring.comparison_page import page

        return page(self)

    def write(self, path: str | Path) -> Path:
        """Write the page, or JSON where the name ends so; return where."""
        target = Path(path)
        content = self.to_json() if target.suffix == ".json" else self.to_html()
        target.write_text(content, "utf-8")
        return target

    def __repr__(self) -> str:
        from tidemill.monitoring.comparison_text import text

        return text(self)

    def _repr_html_(self) -> str:
        from tidemill.monitoring.comparison_page import body

        return body(self)


def compare(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    q: float = 0.01,
    least_effect: float = 0.05,
    exact: bool | None = None,
) -> Comparison:
    """Say how far two tables differ, column by column.

    Rows are taken as independent, as in most tests; for rows that come by days, watch an endpoint,
    whose alarms are calibrated on whole days.

    Args:
        reference: What is usual: a Polars, pandas or Arrow table, a DuckDB relation, a mapping
            from names to values, a file, a folder or a list of Parquet files, or what `prepare`
            made of one of them.
        current: What is compared with it, but for the last.
        columns: Which columns; all that both have where left out.
        q: The false-discovery rate across columns.
        least_effect: The least effect that counts, 0 to 1.
        exact: Whether every value is held in memory; else columns are read as sketches, in constant
            memory, and each states its `error`. Tables in memory are exact where left out, Parquet
            files and prepared references are not.

    Raises:
        NotATable: One of the two cannot be read as a table.
        UnreadableData: One of the two is a file that cannot be read.
        Usage: A prepared reference cannot be exact.

    Reference: Kolmogorov-Smirnov (numbers) or the two-sample chi-square test (categories), and
    Benjamini and Hochberg over the columns; see `distances` and `drift`.

    Example:
        >>> calm = {"temp": list(range(100)), "sky": ["blue"] * 60 + ["grey"] * 40}
        >>> warm = {"temp": list(range(50, 150)), "sky": ["blue"] * 58 + ["grey"] * 42}
        >>> compare(calm, warm).moved
        ('temp',)
        >>> compare(prepare(calm), warm).moved
        ('temp',)
    """
    sides = _Sides.of(reference, current, exact)
    before, after = sides.names, list(sides.after.schema)
    names = [c for c in before if columns is None or c in columns]
    wanted = [c for c in after if columns is None or c in columns]
    shared = [c for c in names if c in after]
    notes: list[str] = []
    measured: list[ColumnComparison] = []
    for name, found in zip(shared, in_threads(sides.measure, shared), strict=True):
        if isinstance(found, str):
            notes.append(f"`{name}` cannot be judged, because {found}.")
        else:
            measured.append(found)
    chosen = benjamini_hochberg([c.p_value for c in measured], q)
    decided = (
        msgspec.structs.replace(c, moved=passed and c.effect >= least_effect)
        for c, passed in zip(measured, chosen, strict=True)
    )
    return Comparison(
        rows_reference=sides.before.rows,
        rows=sides.after.rows,
        columns=tuple(sorted(decided, key=lambda c: (not c.moved, -c.effect))),
        added=tuple(c for c in wanted if c not in before),
        removed=tuple(c for c in names if c not in after),
        notes=tuple(notes),
    )


class _Sides(msgspec.Struct, frozen=True):
    """The two tables, and how they are read."""

    before: Any
    after: Any
    points: int | None

    @classmethod
    def of(cls, reference: Any, current: Any, exact: bool | None) -> _Sides:
        if isinstance(current, Prepared):
            raise Usage(
                "The current table is a prepared reference.",
                expected="the reference first, then the table that is compared with it",
            )
        after = open_table(current)
        if isinstance(reference, Prepared):
            if exact:
                raise Usage(
                    "A prepared reference holds sketches, so that the comparison cannot be exact.",
                    expected="the reference's rows, or `exact=False`",
                )
            return cls(reference, after, POINTS)
        before = open_table(reference)
        everything = not (before.streams or after.streams) if exact is None else exact
        return cls(before, after, None if everything else POINTS)

    @property
    def names(self) -> list[str]:
        """The reference's columns."""
        known: Prepared | Table = self.before
        return list(known.columns if isinstance(known, Prepared) else known.schema)

    def measure(self, name: str) -> ColumnComparison | str:
        """Measure a column, or say why it cannot be judged."""
        kind = self._kind(name)
        if kind is None:
            return "it does not hold single values"
        for what, side in (("reference", self.before), ("current table", self.after)):
            if not side.rows:
                return f"the {what} has no rows"
        now = sketch_column(self.after, name, kind, points=self.points)
        return measure(name, self._usual(name, kind), now)

    def _usual(self, name: str, kind: Kind) -> Sketch:
        if not isinstance(self.before, Prepared):
            return sketch_column(self.before, name, kind, points=self.points)
        known = self.before.columns[name]
        assert known is not None
        return known

    def _kind(self, name: str) -> Kind | None:
        if not isinstance(self.before, Prepared):
            return kind_of(self.before.schema[name])
        known = self.before.columns[name]
        if known is None:
            return None
        return "categorical" if isinstance(known, Names) else "numeric"
