"""Line charts as inline SVG: no script, no font, no outside asset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape

import msgspec

WIDTH, HEIGHT = 960.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 14.0, 30.0
MOST_DOTS = 60
"""Up to so many points of a curve are drawn as dots."""
MONTHS = timedelta(days=70)
"""From which span on the axis of time names months, not days."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One curve.

    Attributes:
        name: Shown in the legend.
        style: The CSS class that colours it.
        points: Moments and values; a value that is not finite leaves a gap.
    """

    name: str
    style: str
    points: tuple[tuple[datetime, float], ...]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A vertical mark at a moment.

    Attributes:
        time: Where it stands.
        style: The CSS class that colours it.
        title: Shown when the pointer rests on it.
    """

    time: datetime
    style: str
    title: str


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of values at each moment, such as an interval.

    Attributes:
        style: The CSS class that colours it.
        points: Moments, lower and upper ends.
    """

    style: str
    points: tuple[tuple[datetime, float, float], ...]


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A value that holds all the time, such as a threshold.

    Attributes:
        value: The value.
        style: The CSS class that colours it.
        title: Shown when the pointer rests on it.
    """

    value: float
    style: str
    title: str


def chart(
    title: str,
    lines: Sequence[Line],
    marks: Sequence[Mark] = (),
    *,
    bands: Sequence[Band] = (),
    levels: Sequence[Level] = (),
) -> str:
    """Return an SVG figure with a legend; values share one scale that is rounded to fit.

    Args:
        title: What is drawn.
        lines: The curves, each in the legend.
        marks: Moments.
        bands: Drawn below the curves.
        levels: Drawn above the bands.

    Example:
        >>> from datetime import UTC
        >>> year = tuple((datetime(2013, m, 1, tzinfo=UTC), m / 12) for m in range(1, 13))
        >>> figure = chart("F1", [Line(name="loop", style="loop", points=year)])
        >>> figure.startswith("<figure>"), "<path" in figure, "http" in figure
        (True, True, False)
    """
    moments = [t for line in lines for t, _ in line.points]
    values = [v for line in lines for _, v in line.points]
    values += [v for band in bands for _, low, high in band.points for v in (low, high)]
    values = [v for v in (*values, *(level.value for level in levels)) if math.isfinite(v)]
    if not moments or not values:
        return f"<figure><figcaption>{escape(title)}</figcaption><p>No data.</p></figure>"
    scale = _Scale.over(moments, values)
    body = [
        *_grid(scale),
        *(_band(scale, b) for b in bands),
        *(_level(scale, x) for x in levels),
        *(_mark(scale, m) for m in marks),
        *(_curve(scale, x) for x in lines),
    ]
    legend = "".join(f'<li class="{x.style}">{escape(x.name)}</li>' for x in lines)
    return (
        f'<figure><figcaption>{escape(title)}<ul class="legend">{legend}</ul></figcaption>'
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(body)}</svg></figure>"
    )


class _Scale(msgspec.Struct, frozen=True):
    since: datetime
    until: datetime
    low: float
    high: float
    step: float

    @classmethod
    def over(cls, moments: Sequence[datetime], values: Sequence[float]) -> _Scale:
        low, high = min(values), max(values)
        step = _round_step((high - low) / 4 or 1.0)
        return cls(
            min(moments),
            max(moments),
            math.floor(low / step) * step,
            math.ceil(high / step) * step or step,
            step,
        )

    def x(self, moment: datetime) -> float:
        span = (self.until - self.since) / timedelta(seconds=1) or 1.0
        share = (moment - self.since) / timedelta(seconds=1) / span
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low or 1.0)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _round_step(rough: float) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that is next to `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return min((1.0, 2.0, 5.0, 10.0), key=lambda m: abs(m * power - rough)) * power


def _grid(scale: _Scale) -> list[str]:
    lines = []
    for i in range(round((scale.high - scale.low) / scale.step) + 1):
        value = scale.low + i * scale.step
        y = scale.y(value)
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        lines.append(f'<text class="value" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:.3g}</text>')
    lines += _months(scale) if scale.until - scale.since > MONTHS else _days(scale)
    return lines


def _months(scale: _Scale) -> list[str]:
    lines = []
    month = scale.since.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= scale.until:
        if month >= scale.since:
            lines.append(_moment(scale, month, f"{month:%b}"))
        month = (month + timedelta(days=32)).replace(day=1)
    return lines


def _days(scale: _Scale) -> list[str]:
    """Return about six evenly spaced moments; days, or hours where it is about hours."""
    span = scale.until - scale.since
    form = "%-d %b" if span > timedelta(days=5) else "%-d %b %H:%M"
    moments = [scale.since + span * i / 6 for i in range(1, 6)]
    return [_moment(scale, m, f"{m:{form}}") for m in moments]


def _moment(scale: _Scale, moment: datetime, text: str) -> str:
    return f'<text class="month" x="{scale.x(moment):.1f}" y="{HEIGHT - 10}">{text}</text>'


def _band(scale: _Scale, band: Band) -> str:
    known = [p for p in band.points if math.isfinite(p[1]) and math.isfinite(p[2])]
    if len(known) < 2:
        return ""
    above = [f"{scale.x(t):.1f} {scale.y(high):.1f}" for t, _, high in known]
    below = [f"{scale.x(t):.1f} {scale.y(low):.1f}" for t, low, _ in reversed(known)]
    return f'<path class="band {band.style}" d="M{"L".join(above + below)}Z"/>'


def _level(scale: _Scale, level: Level) -> str:
    ends = f'x1="{_LEFT}" x2="{WIDTH - _RIGHT}"'
    y = f"{scale.y(level.value):.1f}"
    title = f"<title>{escape(level.title)}</title>"
    return f'<line class="level {level.style}" {ends} y1="{y}" y2="{y}">{title}</line>'


def _mark(scale: _Scale, mark: Mark) -> str:
    x = scale.x(min(max(mark.time, scale.since), scale.until))
    ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"'
    return f'<line class="mark {mark.style}" {ends}><title>{escape(mark.title)}</title></line>'


def _curve(scale: _Scale, line: Line) -> str:
    path, pen = [], "M"
    for moment, value in line.points:
        if not math.isfinite(value):
            pen = "M"
            continue
        path.append(f"{pen}{scale.x(moment):.1f} {scale.y(value):.1f}")
        pen = "L"
    drawn = f'<path class="curve {line.style}" d="{"".join(path)}"/>'
    return drawn + "".join(_dots(scale, line))


def _dots(scale: _Scale, line: Line) -> Iterator[str]:
    """Draw each point of a curve of few, so that one alone is seen and each tells its value."""
    if len(line.points) > MOST_DOTS:
        return
    for moment, value in line.points:
        if math.isfinite(value):
            said = f"{moment:%-d %B %Y}: {escape(line.name)} {value:.4g}"
            spot = f'cx="{scale.x(moment):.1f}" cy="{scale.y(value):.1f}"'
            yield f'<circle class="dot {line.style}" {spot} r="2.6"><title>{said}</title></circle>'
