"""Segments of a table: the rows that share a value of a column, or the values of two columns."""

from __future__ import annotations

import polars as pl

BETWEEN = " & "
"""What stands between the names of two columns, and between their values."""
MISSING = "(missing)"


def values_of(rows: pl.DataFrame, segment: str, *, prefix: str = "") -> pl.Series | None:
    """Return each row's value of a segment as text, or nothing where a column is not there.

    Args:
        rows: The table.
        segment: A column, or two with ` & ` between them.
        prefix: What stands before the columns' names in the table.

    Example:
        >>> rows = pl.DataFrame({"a": ["x", None], "b": [1, 2]})
        >>> values_of(rows, "a & b").to_list(), values_of(rows, "c")
        (['x & 1', '(missing) & 2'], None)
    """
    names = [segment] if prefix + segment in rows.columns else segment.split(BETWEEN)
    columns = [prefix + name.strip() for name in names]
    if any(c not in rows.columns or rows[c].dtype.is_nested() for c in columns):
        return None
    texts = [pl.col(c).cast(pl.String).fill_null(MISSING) for c in columns]
    return rows.select(pl.concat_str(texts, separator=BETWEEN).alias("value"))["value"]


def frequent(values: pl.Series, most: int) -> list[str]:
    """Return the most frequent values, in their order as text.

    Example:
        >>> frequent(pl.Series(["b", "c", "a", "b", "a"]), 2)
        ['a', 'b']
    """
    counts = values.rename("v").value_counts()
    ranked = counts.sort(["count", "v"], descending=[True, False]).head(most)
    return sorted(ranked["v"].to_list())
