"""Draws the report of an endpoint: one page, plots inline, no script and no outside asset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.charts import Band, Level, Line, Mark, chart
from tidemill.core.tasks import LOWER_IS_BETTER
from tidemill.monitoring.column_plots import effects, over_time, overlay
from tidemill.monitoring.endpoint_report import EndpointReport
from tidemill.monitoring.records import ColumnDrift, Finding, WindowReport

_NAME = re.compile(r"`([^`]+)`")
MOST_COLUMNS = 120
"""How many columns are drawn; the page stays below a megabyte."""


def write(report: EndpointReport, path: Path) -> Path:
    """Write the page, or JSON where the name ends so; return where."""
    content = msgspec.json.encode(report) if path.suffix == ".json" else page(report).encode()
    path.write_bytes(content)
    return path


def page(report: EndpointReport) -> str:
    """Return a whole page."""
    whole = report.whole
    style = files(__package__).joinpath("report.css").read_text("utf-8")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{escape(whole.endpoint)}: report</title><style>{style}</style></head><body><main>"
        f"{_head(report)}{_findings(report)}{_quality(report)}{_estimates(report)}"
        f"{_parts(report)}{_columns(report)}{_notes(whole)}</main></body></html>"
    )


def _head(report: EndpointReport) -> str:
    whole = report.whole
    moved = sum(c.drifted for c in whole.columns)
    answered = max(whole.predictions, 1)
    facts = (
        (f"{whole.predictions:,}", "predictions"),
        (f"{whole.errors / answered:.2%}", "failed"),
        (f"{whole.latency_p99_us / 1000:.1f} ms", "to answer, 99 of 100"),
        (f"{whole.coverage:.0%}", "of them labelled"),
        (f"{moved} of {len(whole.columns)}", "columns moved"),
        (f"{len(report.findings)}", "findings"),
    )
    tiles = "".join(f"<li><b>{value}</b>{text}</li>" for value, text in facts)
    return (
        f"<header><h1>{escape(whole.endpoint)}</h1><p>From {whole.since:%-d %B %Y %H:%M} to "
        f"{whole.until:%-d %B %Y %H:%M}; quality and drift are those of version {whole.version} "
        f"of {escape(whole.model)}.</p><ul class='tiles'>{tiles}</ul></header>"
    )


def _findings(report: EndpointReport) -> str:
    if not report.findings:
        return "<section><h2>Findings</h2><p>Nothing was found.</p></section>"
    rows = "".join(map(_finding, report.findings))
    head = "<tr><th>until</th><th>kind</th><th>what</th></tr>"
    return f"<section><h2>Findings</h2><table>{head}{rows}</table></section>"


def _finding(finding: Finding) -> str:
    causes = ", ".join(f"{escape(c.column)} {c.share:.0%}" for c in finding.causes[:5])
    because = f"<br><small>explained by {causes}</small>" if causes else ""
    return (
        f"<tr><td class='day'>{finding.until:%-d %b %Y}</td>"
        f"<td class='{finding.severity}'>{finding.kind}</td>"
        f"<td>{_marked(finding.message)}{because}</td></tr>"
    )


def _marked(sentence: str) -> str:
    """Return a sentence in HTML, with the names in it set apart."""
    return _NAME.sub(r"<code>\1</code>", escape(sentence))


def _quality(report: EndpointReport) -> str:
    known = report.whole.realised or report.whole.estimated
    names = sorted(known, key=lambda name: name != report.watched)
    if not names or not report.windows:
        return ""
    figures = "".join(_timeline(report, name) for name in names)
    coverage = Line(
        name="labelled",
        style="coverage",
        points=tuple((w.since, w.coverage) for w in report.windows),
    )
    return (
        f"<section><h2>Quality by window</h2>{_whole(report.whole, names)}{figures}"
        f"{chart('share of predictions that are labelled', [coverage])}</section>"
    )


def _whole(whole: WindowReport, names: Sequence[str]) -> str:
    rows = "".join(
        f"<tr><td>{name}</td>{_number(whole.realised.get(name))}"
        f"{_span(whole.intervals.get(name))}{_number(whole.estimated.get(name))}"
        f"{_span(whole.bands.get(name))}{_number(whole.reference.get(name))}</tr>"
        for name in names
    )
    heads = ("metric", "realised", "95% interval", "estimated", "band", "when it was made")
    return f"<table>{_heads(heads)}{rows}</table>"


def _timeline(report: EndpointReport, metric: str) -> str:
    windows = report.windows
    realised = [(w.since, w.realised[metric]) for w in windows if metric in w.realised]
    estimated = [(w.since, w.estimated[metric]) for w in windows if metric in w.estimated]
    lines = [Line(name="realised", style="realised", points=tuple(realised))] if realised else []
    if estimated:
        lines.append(Line(name="estimated", style="estimated", points=tuple(estimated)))
    bands = [
        Band(style="estimated", points=_ends(windows, "bands", metric)),
        Band(style="realised", points=_ends(windows, "intervals", metric)),
    ]
    title = metric.replace("_", " ")
    return chart(title, lines, _marks(report), bands=bands, levels=_levels(report, metric))


def _ends(windows: Sequence[WindowReport], field: str, metric: str) -> tuple[Any, ...]:
    known: list[tuple[WindowReport, Mapping[str, Any]]] = [(w, getattr(w, field)) for w in windows]
    return tuple((w.since, *spans[metric]) for w, spans in known if metric in spans)


def _levels(report: EndpointReport, metric: str) -> list[Level]:
    usual = report.whole.reference.get(metric)
    if usual is None:
        return []
    levels = [Level(value=usual, style="usual", title=f"when it was made: {usual:.4g}")]
    if metric == report.watched:
        drop = report.performance_drop
        limit = usual + drop if metric in LOWER_IS_BETTER else usual - drop
        levels.append(Level(value=limit, style="limit", title=f"alarm beyond {limit:.4g}"))
    return levels


def _marks(report: EndpointReport) -> list[Mark]:
    changes = [
        Mark(time=new.since, style="version", title=f"version {new.version}")
        for old, new in pairwise(report.windows)
        if old.version != new.version
    ]
    quality = ("performance", "concept", "estimated-performance")
    alarms = [
        Mark(time=f.since, style="alarm", title=f.message)
        for f in report.findings
        if f.kind in quality
    ]
    return changes + alarms


def _estimates(report: EndpointReport) -> str:
    if not report.estimates.errors:
        return ""
    rows = "".join(
        f"<tr><td>{e.metric}</td><td>{e.windows}</td>{_number(e.mean_absolute)}{_number(e.bias)}"
        f"<td>{e.within:.0%}</td></tr>"
        for e in report.estimates.errors
    )
    heads = ("metric", "windows", "mean error", "bias", "truth within the band")
    return (
        "<section><h2>How far the estimates can be believed</h2>"
        f"<table>{_heads(heads)}{rows}</table></section>"
    )


def _parts(report: EndpointReport) -> str:
    classes = [(f"class {c.label}", c.labelled, c.metrics) for c in report.whole.classes]
    newest = next((w for w in reversed(report.windows) if w.segments), None)
    segments = [] if newest is None else newest.segments
    parts = [(f"{s.column} = {s.value}", s.rows, s.metrics) for s in segments]
    found = ""
    for title, rows in (("Quality by class", classes), ("The newest window by segment", parts)):
        if rows:
            found += f"<section><h2>{title}</h2>{_by_part(rows)}</section>"
    return found


def _by_part(rows: Sequence[tuple[str, int, Mapping[str, float]]]) -> str:
    names = list(dict.fromkeys(n for _, _, metrics in rows for n in metrics))
    lines = "".join(
        f"<tr><td>{escape(part)}</td><td>{count:,}</td>"
        f"{''.join(_number(metrics.get(n)) for n in names)}</tr>"
        for part, count, metrics in rows
    )
    return f"<table>{_heads(('', 'labelled', *names))}{lines}</table>"


def _columns(report: EndpointReport) -> str:
    drifts = {c.column: c for c in report.whole.columns}
    known = sorted(report.spreads, key=lambda s: -_effect(drifts.get(s.column)))
    if not known:
        return ""
    cards = "".join(_cards(report, drifts))
    rest = len(known) - MOST_COLUMNS
    more = f"<p>{rest} columns that moved less are not drawn.</p>" if rest > 0 else ""
    return (
        "<section><h2>Columns</h2><p>The reference in grey, the stretch in colour; over time the "
        f"middle half of the values, or the shares.</p>{effects(report.windows)}"
        f"<div class='cards'>{cards}</div>{more}</section>"
    )


def _cards(report: EndpointReport, drifts: Mapping[str, ColumnDrift]) -> Iterator[str]:
    known = sorted(report.spreads, key=lambda s: -_effect(drifts.get(s.column)))
    for spread in known[:MOST_COLUMNS]:
        drift = drifts.get(spread.column)
        said = "not judged"
        if drift is not None:
            said = (
                f"{escape(drift.reference)} → {escape(drift.current)}, effect {drift.effect:.3f}, "
                f"p {drift.p_value:.2g}"
            )
        missing = f"missing {spread.missing_reference:.1%} → {spread.missing:.1%}"
        moved = " class='moved'" if drift is not None and drift.drifted else ""
        yield (
            f"<article{moved}><h3>{escape(spread.column)}</h3><p>{said}<br>{missing}</p>"
            f"{overlay(spread)}{over_time(spread)}</article>"
        )


def _effect(drift: ColumnDrift | None) -> float:
    return -1.0 if drift is None else drift.effect + drift.drifted


def _notes(whole: WindowReport) -> str:
    if not whole.notes:
        return ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in whole.notes)
    return f"<section><h2>What cannot be judged</h2><ul>{notes}</ul></section>"


def _heads(names: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<th>{escape(n)}</th>" for n in names) + "</tr>"


def _number(value: float | None) -> str:
    return "<td>–</td>" if value is None else f"<td>{value:.4g}</td>"


def _span(ends: tuple[float, float] | None) -> str:
    return "<td>–</td>" if ends is None else f"<td>{ends[0]:.4g} to {ends[1]:.4g}</td>"
