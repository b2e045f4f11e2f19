"""Series as a line of blocks, and figures with their units."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.monitoring.health.records import Point

WIDTH = 40
_BLOCKS = " ▁▂▃▄▅▆▇█"
_SIZES = ((float(1 << 30), "GiB"), (float(1 << 20), "MiB"), (float(1 << 10), "KiB"), (1.0, "B"))


def figure(value: float | None, unit: str) -> str:
    """Return a figure with its unit.

    Example:
        >>> figure(0.123, "share"), figure(3 * 2.0**20, "bytes"), figure(0.0042, "seconds")
        ('12.3%', '3.0 MiB', '4.2 ms')
        >>> figure(12.34, "per second"), figure(None, "many")
        ('12.3/s', '–')
    """
    if value is None:
        return "–"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "bytes":
        size, name = next(s for s in _SIZES if value >= s[0] or s[0] == 1.0)
        return f"{value / size:.1f} {name}"
    if unit == "seconds":
        return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.3g}/s" if unit == "per second" else f"{value:.3g}"


def sparkline(points: Sequence[Point]) -> str:
    """Return a series as one line; a blank stands where nothing is known.

    Example:
        >>> sparkline([Point(0, 0.0), Point(10, 1.0), Point(20, None), Point(30, 2.0)])
        '▁▅ █'
    """
    groups = [
        points[at * len(points) // WIDTH : (at + 1) * len(points) // WIDTH] for at in range(WIDTH)
    ]
    chosen = [list(g) for g in groups if g] if len(points) > WIDTH else [[p] for p in points]
    values = [_mean([p.value for p in group if p.value is not None]) for group in chosen]
    known = [v for v in values if v is not None]
    if not known:
        return ""
    low, high = min(0.0, *known), max(known)
    return "".join(" " if v is None else _block(v, low, high) for v in values)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _block(value: float, low: float, high: float) -> str:
    place = 0.0 if high <= low else (value - low) / (high - low)
    return _BLOCKS[1 + min(int(place * 8), 7)]
