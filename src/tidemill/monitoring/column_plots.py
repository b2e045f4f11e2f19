"""Draws columns: how their values are spread, how that went over time, and how far each moved."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tidemill.monitoring.endpoint_report import ColumnSpread
from tidemill.monitoring.records import WindowReport

WIDTH, HEIGHT = 300, 90
_LABEL = 96
_MOST_BARS = 8
_MOST_EFFECTS = 40
_CELL = 16


def overlay(spread: ColumnSpread) -> str:
    """Draw the reference and the stretch over each other."""
    if not spread.marks:
        return ""
    return _curves(spread) if spread.numeric else _bars(spread)


def over_time(spread: ColumnSpread) -> str:
    """Draw how a column went over time: quartiles as a band, or the share of the first category."""
    if len(spread.moments) < 2:
        return ""
    if not spread.numeric:
        return _stacked(spread)
    known = [m for m in spread.moments if m.quartiles]
    values = [v for m in known for v in m.quartiles]
    if len(known) < 2:
        return ""
    low, high = min(values), max(values)

    def points(place: int) -> list[str]:
        return [
            f"{i / (len(known) - 1) * WIDTH:.1f} {_y(m.quartiles[place], low, high):.1f}"
            for i, m in enumerate(known)
        ]

    band = "L".join(points(0) + points(2)[::-1])
    ends = f"{known[0].since:%-d %b %Y}", f"{known[-1].since:%-d %b %Y}"
    return (
        f"<svg class='time' viewBox='0 0 {WIDTH} {HEIGHT + 14}' role='img' "
        f"aria-label='quartiles over time'><path class='band' d='M{band}Z'/>"
        f"<path class='middle' d='M{'L'.join(points(1))}'/>"
        f"<text x='2' y='10'>{high:.4g}</text><text x='2' y='{HEIGHT - 3}'>{low:.4g}</text>"
        f"<text x='0' y='{HEIGHT + 12}'>{ends[0]}</text>"
        f"<text x='{WIDTH}' y='{HEIGHT + 12}' class='end'>{ends[1]}</text></svg>"
    )


def effects(windows: Sequence[WindowReport]) -> str:
    """Draw how far each column moved in each window: a row a column, a cell a window."""
    judged = [w for w in windows if w.columns]
    if not judged:
        return ""
    most: dict[str, float] = {}
    for window in judged:
        for column in window.columns:
            most[column.column] = max(most.get(column.column, 0.0), column.effect)
    names = sorted(most, key=lambda n: -most[n])[:_MOST_EFFECTS]
    left = 150
    wide = max(min(_CELL, 800 / len(judged)), 3.0)
    drawn = []
    for row, name in enumerate(names):
        y = row * _CELL
        drawn.append(f"<text x='{left - 8}' y='{y + 12}' class='end'>{escape(name[:22])}</text>")
        for place, window in enumerate(judged):
            found = next((c for c in window.columns if c.column == name), None)
            if found is None:
                continue
            title = f"{name}, {window.since:%-d %b %Y}: effect {found.effect:.3f}"
            style = "moved" if found.drifted else "calm"
            drawn.append(
                f"<rect class='{style}' x='{left + place * wide:.1f}' y='{y + 1}' "
                f"width='{wide - 1:.1f}' height='{_CELL - 2}' "
                f"style='opacity:{min(0.08 + 2 * found.effect, 1):.2f}'>"
                f"<title>{escape(title)}</title></rect>"
            )
    below = len(names) * _CELL
    ends = judged[0].since, judged[-1].since
    right = left + len(judged) * wide
    size = f"viewBox='0 0 {right:.0f} {below + 18}' style='max-width:{right:.0f}px'"
    return (
        f"<svg class='effects' {size} role='img' "
        f"aria-label='how far columns moved, by window'>{''.join(drawn)}"
        f"<text x='{left}' y='{below + 14}'>{ends[0]:%-d %b %Y}</text>"
        f"<text x='{right:.0f}' y='{below + 14}' class='end'>{ends[1]:%-d %b %Y}</text></svg>"
    )


def _curves(spread: ColumnSpread) -> str:
    """Draw the share of values up to each mark."""
    marks = [float(m) for m in spread.marks]
    low, high = marks[0], marks[-1]

    def path(shares: Sequence[float]) -> str:
        pairs = zip(marks, shares, strict=True)
        return "L".join(f"{_x(m, low, high):.1f} {HEIGHT - s * (HEIGHT - 6):.1f}" for m, s in pairs)

    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT + 14}' role='img' aria-label='share of values up to "
        f"each'><path class='was' d='M{path(spread.reference)}'/>"
        f"<path class='now' d='M{path(spread.current)}'/>"
        f"<text x='0' y='{HEIGHT + 12}'>{low:.4g}</text>"
        f"<text x='{WIDTH}' y='{HEIGHT + 12}' class='end'>{high:.4g}</text></svg>"
    )


def _bars(spread: ColumnSpread) -> str:
    order = sorted(
        range(len(spread.marks)), key=lambda i: -max(spread.reference[i], spread.current[i])
    )
    drawn = []
    widest = max(*spread.reference, *spread.current, 1e-9)
    for row, i in enumerate(order[:_MOST_BARS]):
        top = row * 18
        drawn.append(f"<text x='0' y='{top + 12}'>{escape(str(spread.marks[i])[:15])}</text>")
        for style, shares, at in (("was", spread.reference, 2), ("now", spread.current, 9)):
            length = shares[i] / widest * (WIDTH - _LABEL)
            drawn.append(
                f"<rect class='{style}' x='{_LABEL}' y='{top + at}' width='{length:.1f}' "
                f"height='6'><title>{shares[i]:.1%}</title></rect>"
            )
    height = 18 * min(len(order), _MOST_BARS) + 2
    return (
        f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='shares'>{''.join(drawn)}</svg>"
    )


def _stacked(spread: ColumnSpread) -> str:
    """Draw the shares of the most frequent categories over time, one above the other."""
    order = sorted(range(len(spread.marks)), key=lambda i: -spread.reference[i])[:4]
    last = len(spread.moments) - 1
    below = [0.0] * len(spread.moments)
    drawn = []
    for tone, i in enumerate(order):
        above = [b + m.shares[i] for b, m in zip(below, spread.moments, strict=True)]

        def points(shares: Sequence[float]) -> list[str]:
            return [
                f"{k / last * WIDTH:.1f} {HEIGHT - s * HEIGHT:.1f}" for k, s in enumerate(shares)
            ]

        area = "L".join(points(above) + points(below)[::-1])
        title = escape(str(spread.marks[i]))
        drawn.append(f"<path class='area t{tone}' d='M{area}Z'><title>{title}</title></path>")
        below = above
    ends = f"{spread.moments[0].since:%-d %b %Y}", f"{spread.moments[-1].since:%-d %b %Y}"
    return (
        f"<svg class='time' viewBox='0 0 {WIDTH} {HEIGHT + 14}' role='img' "
        f"aria-label='shares over time'>{''.join(drawn)}"
        f"<text x='0' y='{HEIGHT + 12}'>{ends[0]}</text>"
        f"<text x='{WIDTH}' y='{HEIGHT + 12}' class='end'>{ends[1]}</text></svg>"
    )


def _x(value: float, low: float, high: float) -> float:
    return (value - low) / ((high - low) or 1.0) * WIDTH


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - 4 - (value - low) / ((high - low) or 1.0) * (HEIGHT - 8)
