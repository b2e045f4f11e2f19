"""Writes a comparison for a terminal: a line a column, the farthest moved first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.monitoring.compared import ColumnComparison, ComparedTables

_MOST_LINES = 40
_WIDEST = 36
_HEADS = ("column", "effect", "p", "missing", "usual", "now")


def text(comparison: ComparedTables) -> str:
    """Return the whole in lines; columns that moved are marked."""
    columns = comparison.columns
    rows = [_HEADS, *(_cells(c) for c in columns[:_MOST_LINES])]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    marks = [" ", *("*" if c.moved else " " for c in columns)]
    more = len(columns) - _MOST_LINES
    return "\n".join(
        [
            f"{len(comparison.moved)} of {len(columns)} columns moved (*): "
            f"{comparison.rows_reference:,} rows of reference, {comparison.rows:,} rows now.",
            *(_line(mark, cells, widths) for mark, cells in zip(marks, rows, strict=False)),
            *([f"  and {more:,} more, of which none moved farther"] if more > 0 else []),
            *([f"new: {', '.join(comparison.added)}"] if comparison.added else []),
            *([f"gone: {', '.join(comparison.removed)}"] if comparison.removed else []),
            *comparison.notes,
        ]
    )


def _cells(column: ColumnComparison) -> tuple[str, ...]:
    return (
        _short(column.column),
        f"{column.effect:.3f}",
        f"{column.p_value:.2g}",
        f"{column.missing_reference:.1%} → {column.missing:.1%}",
        _short(column.reference),
        _short(column.current),
    )


def _short(said: str) -> str:
    return said if len(said) <= _WIDEST else f"{said[: _WIDEST - 1]}…"


def _line(mark: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{mark} {'  '.join(padded)}".rstrip()
