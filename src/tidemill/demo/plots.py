"""Line charts as inline SVG: no script, no font, no outside asset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

import msgspec

WIDTH, HEIGHT = 960.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 14.0, 30.0


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


def chart(title: str, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> str:
    """Return an SVG figure with a legend; values share one scale that is rounded to fit.

    Example:
        >>> from datetime import UTC
        >>> year = tuple((datetime(2013, m, 1, tzinfo=UTC), m / 12) for m in range(1, 13))
        >>> figure = chart("F1", [Line(name="loop", style="loop", points=year)])
        >>> figure.startswith("<figure>"), "<path" in figure, "http" in figure
        (True, True, False)
    """
    moments = [t for line in lines for t, _ in line.points]
    values = [v for line in lines for _, v in line.points if math.isfinite(v)]
    if not moments or not values:
        return f"<figure><figcaption>{escape(title)}</figcaption><p>No data.</p></figure>"
    scale = _Scale.over(moments, values)
    body = [*_grid(scale), *(_mark(scale, m) for m in marks), *(_curve(scale, x) for x in lines)]
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
    month = scale.since.replace(day=1)
    while month <= scale.until:
        if month >= scale.since:
            at = f'x="{scale.x(month):.1f}" y="{HEIGHT - 10}"'
            lines.append(f'<text class="month" {at}>{month:%b}</text>')
        month = (month + timedelta(days=32)).replace(day=1)
    return lines


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
    return f'<path class="curve {line.style}" d="{"".join(path)}"/>'
