"""Draws a backtest: one page, no outside asset."""

from __future__ import annotations

from html import escape

from tidemill.serving.differences import Backtest, SegmentDifference

_STYLE = """
:root{color-scheme:light dark}
body{font:14px/1.5 system-ui,sans-serif;max-width:1000px;margin:32px auto;padding:0 20px}
h1{font-size:22px}h2{font-size:16px;margin-top:28px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:6px 10px;border-bottom:1px solid #8884;text-align:left}
th{font-weight:500;opacity:.7}td.n,th.n{text-align:right}
.no{color:#c0392b;font-weight:600}.yes{color:#1d8a4e;font-weight:600}
.bar{display:block;height:8px;background:#0a7d8c;border-radius:4px;min-width:1px}
"""


def page(found: Backtest) -> str:
    """Return a whole page."""
    verdict = (
        "<p class='yes'>Within every limit.</p>"
        if found.passed
        else "".join(f"<p class='no'>{escape(said)}</p>" for said in found.breaches)
    )
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>Backtest of {escape(found.candidate)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(found.candidate)} on what {escape(found.endpoint)} was asked</h1>",
        f"<p>{_stretch(found)}</p>{verdict}<table>",
        *(f"<tr><td>{escape(k)}</td><td class='n'>{escape(v)}</td></tr>" for k, v in facts(found)),
        "</table>",
        _segments(found),
        _examples(found),
        "</body></html>",
    ]
    return "".join(parts)


def facts(found: Backtest) -> list[tuple[str, str]]:
    """Return the figures of a backtest, for people."""
    told = [
        ("rows replayed", f"{found.rows:,} in {found.requests:,} requests"),
        ("refused", f"{found.refused:,}"),
        (
            "answers that change",
            f"{found.changed:.2%}{_ends(found.changed_interval, percent=True)}",
        ),
        ("mean difference", f"{found.mean_difference:+.4g}"),
        ("largest difference", f"{found.largest_difference:.4g}"),
        ("labelled", f"{found.labelled:,}"),
    ]
    if found.loss is not None and found.answered_loss is not None:
        more = found.loss - found.answered_loss
        told += [
            ("loss", f"{found.loss:.4f}"),
            ("loss of what was answered", f"{found.answered_loss:.4f}"),
            ("difference of the two", f"{more:+.4f}{_ends(found.loss_interval)}"),
        ]
    return told


def _stretch(found: Backtest) -> str:
    if found.since is None or found.until is None:
        return "Nothing was recorded."
    return f"Answered from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M}, UTC."


def _ends(interval: tuple[float, float] | None, *, percent: bool = False) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f" ({low:.2%} to {high:.2%})" if percent else f" ({low:+.4f} to {high:+.4f})"


def _segments(found: Backtest) -> str:
    if not found.segments:
        return ""
    return (
        "<h2>By segment</h2><table><tr><th>Segment</th><th class='n'>Rows</th><th class='n'>"
        "Changed</th><th></th><th class='n'>Mean difference</th><th class='n'>Loss</th>"
        "<th class='n'>Answered</th></tr>" + "".join(map(_segment, found.segments)) + "</table>"
    )


def _segment(each: SegmentDifference) -> str:
    loss, before = ("–" if v is None else f"{v:.4f}" for v in (each.loss, each.answered_loss))
    return (
        f"<tr><td>{escape(each.column)} = {escape(each.value)}</td><td class='n'>{each.rows:,}</td>"
        f"<td class='n'>{each.changed:.1%}</td><td style='width:140px'><span class='bar' "
        f"style='width:{100 * each.changed:.0f}%'></span></td><td class='n'>"
        f"{each.mean_difference:+.4g}</td><td class='n'>{loss}</td><td class='n'>{before}</td></tr>"
    )


def _examples(found: Backtest) -> str:
    if not found.examples:
        return ""
    rows = "".join(
        f"<tr><td>{escape(e.prediction)}</td><td>{escape(e.said)}</td><td>{escape(e.says)}</td>"
        f"<td class='n'>{e.difference:+.4g}</td><td>{escape(e.label or '–')}</td></tr>"
        for e in found.examples
    )
    return (
        "<h2>Where they differ most</h2><table><tr><th>Prediction</th><th>Answered</th>"
        f"<th>Candidate</th><th class='n'>Difference</th><th>Came true</th></tr>{rows}</table>"
    )
