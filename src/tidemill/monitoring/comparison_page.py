"""Draws a comparison: one page, plots inline, no outside asset."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from tidemill.core.clock import from_micros

if TYPE_CHECKING:
    from tidemill.monitoring.compared import ColumnComparison, ComparedTables

_WIDTH, _HEIGHT = 320, 120
_MOST_PLOTS = 200
_STYLE = """
.tm{font:14px/1.45 system-ui,sans-serif;color:#1c2733;max-width:1100px;margin:0 auto}
.tm h1{font-size:22px}.tm table{border-collapse:collapse;width:100%}
.tm td,.tm th{padding:6px 10px;border-bottom:1px solid #e3e8ee;text-align:left;vertical-align:top}
.tm .moved td:first-child{border-left:4px solid #c2410c}
.tm .calm td:first-child{border-left:4px solid #cbd5e1}
.tm .figures{color:#52606d;font-size:12px}.tm svg{display:block}
.tm .was{fill:#94a3b8;stroke:#94a3b8}
.tm .now{fill:#0f766e;stroke:#0f766e}.tm path.was,.tm path.now{fill:none;stroke-width:2}
"""


def page(comparison: ComparedTables) -> str:
    """Return a whole page."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Comparison</title></head>"
        f"<body>{body(comparison)}</body></html>"
    )


def body(comparison: ComparedTables) -> str:
    """Return what stands in the page, for a notebook."""
    moved = len(comparison.moved)
    parts = [
        f"<style>{_STYLE}</style><div class='tm'><h1>{moved} of {len(comparison.columns)} columns "
        f"moved</h1><p>{comparison.rows_reference:,} rows of reference (grey), "
        f"{comparison.rows:,} rows now (green).</p>",
        *(f"<p>{escape(note)}</p>" for note in comparison.notes),
        _named("New columns", comparison.added),
        _named("Columns that are gone", comparison.removed),
        "<table><tr><th>Column</th><th>Distribution</th><th>Figures</th></tr>",
        *(_row(c, plotted=i < _MOST_PLOTS) for i, c in enumerate(comparison.columns)),
        "</table></div>",
    ]
    return "".join(parts)


def _named(title: str, names: Sequence[str]) -> str:
    return f"<p>{title}: {escape(', '.join(names))}.</p>" if names else ""


def _row(column: ColumnComparison, *, plotted: bool) -> str:
    plot = (_quantiles(column) if column.kind == "numeric" else _bars(column)) if plotted else ""
    figures = "<br>".join(
        f"{name.replace('_', ' ')} {value:.4g}" for name, value in column.distances.items()
    )
    return (
        f"<tr class='{'moved' if column.moved else 'calm'}'><td><b>{escape(column.column)}</b><br>"
        f"{escape(column.reference)} → {escape(column.current)}<br><span class='figures'>missing "
        f"{column.missing_reference:.1%} → {column.missing:.1%}</span></td><td>{plot}</td>"
        f"<td>effect {column.effect:.3f}<br>p {column.p_value:.2g}"
        f"<div class='figures'>{figures}</div></td></tr>"
    )


def _quantiles(column: ColumnComparison) -> str:
    """Draw both distribution functions."""
    curves = (column.curve_reference, column.curve)
    known = [v for curve in curves for v in curve]
    if not known:
        return ""
    low, high = min(known), max(known)
    wide = (high - low) or 1.0
    paths = "".join(
        f"<path class='{name}' d='M{_points(curve, low, wide)}'/>"
        for name, curve in zip(("was", "now"), curves, strict=True)
        if curve
    )
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + 16}' width='{_WIDTH}' role='img'>{paths}"
        f"<text x='0' y='{_HEIGHT + 14}' font-size='11'>{_end(low, column)}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 14}' font-size='11' text-anchor='end'>"
        f"{_end(high, column)}</text></svg>"
    )


def _end(value: float, column: ColumnComparison) -> str:
    return f"{from_micros(int(value)):%Y-%m-%d %H:%M}" if column.moments else f"{value:.4g}"


def _points(curve: Sequence[float], low: float, wide: float) -> str:
    last = len(curve) - 1
    return "L".join(
        f"{(value - low) / wide * _WIDTH:.1f} {_HEIGHT - i / last * (_HEIGHT - 4):.1f}"
        for i, value in enumerate(curve)
    )


def _bars(column: ColumnComparison) -> str:
    """Draw the shares of categories, the reference above."""
    widest = max((*column.curve_reference, *column.curve), default=0.0) or 1.0
    drawn = []
    for i, mark in enumerate(column.marks):
        top = i * 18
        drawn.append(f"<text x='0' y='{top + 12}' font-size='11'>{escape(str(mark)[:16])}</text>")
        for name, shares, at in (("was", column.curve_reference, 2), ("now", column.curve, 9)):
            length = shares[i] / widest * (_WIDTH - 110)
            drawn.append(
                f"<rect class='{name}' x='110' y='{top + at}' width='{length:.1f}' height='6'/>"
            )
    height = 18 * len(column.marks) + 4
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}' role='img'>{''.join(drawn)}</svg>"
    )
