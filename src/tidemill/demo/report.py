"""The report of the demonstration: one HTML page with everything in it."""

from __future__ import annotations

from datetime import datetime
from html import escape
from importlib.resources import files

import msgspec

from tidemill.core.charts import Line, Mark, chart
from tidemill.demo.comparison import Strategy, verdict
from tidemill.loop.records import Decision

_STYLES = ("loop", "first", "monthly")
_SHOWN = {"roc_auc": "AUC", "f1": "F1", "log_loss": "log loss"}


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of the monitor, as the report shows it."""

    time: datetime
    kind: str
    message: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All that the report tells.

    Attributes:
        since: Where the replay starts.
        until: Where it ends.
        predictions: How many were answered.
        failed: How many requests failed.
        strategies: The loop first, then what it is compared with.
        decisions: What the loop decided, oldest first.
        findings: What the monitor found, oldest first.
        commands: What to try next, and what each does.
        seconds: How long the replay took.
    """

    since: datetime
    until: datetime
    predictions: int
    failed: int
    strategies: tuple[Strategy, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[Observed, ...]
    commands: tuple[tuple[str, str], ...]
    seconds: float


def render(story: Story) -> str:
    """Return the page."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>Tidemill: a year of flights</title><style>{_style()}</style></head><body><main>"
        f"{_head(story)}{_comparison(story)}{_charts(story)}{_timeline(story)}"
        f"{_findings(story)}{_commands(story)}</main></body></html>"
    )


def _style() -> str:
    return files(__package__).joinpath("report.css").read_text("utf-8")


def _head(story: Story) -> str:
    trained = sum(d.kind == "train" for d in story.decisions)
    facts = (
        (f"{story.predictions:,}", "predictions answered"),
        (f"{story.failed:,}", "requests failed"),
        (f"{len(story.findings):,}", "findings"),
        (f"{trained:,}", "trainings started by the loop"),
        (f"{story.seconds:.0f} s", "for the whole year"),
    )
    tiles = "".join(f"<li><b>{value}</b>{escape(text)}</li>" for value, text in facts)
    return (
        "<header><h1>A year of flights, and a model that keeps up</h1>"
        f"<p>From {story.since:%d %B} to {story.until:%d %B %Y}, replayed in simulated time "
        "through the real serving workers: which flights arrive more than 15 minutes late?</p>"
        f"<ul class='tiles'>{tiles}</ul></header>"
    )


def _comparison(story: Story) -> str:
    heads = "".join(f"<th>{name}</th>" for name in _SHOWN.values())
    rows = "".join(
        f"<tr class='{style}'><th>{escape(s.name)}</th><td>{s.retrains}</td>"
        + "".join(f"<td>{s.total[m]:.4f}</td>" for m in _SHOWN)
        + "</tr>"
        for s, style in zip(story.strategies, _STYLES, strict=False)
    )
    return (
        "<section><h2>Was it worth it?</h2>"
        f"<p>{escape(verdict(story.strategies))}</p>"
        f"<table><thead><tr><th></th><th>retrains</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )


def _charts(story: Story) -> str:
    marks = tuple(
        Mark(time=d.time, style=d.kind, title=f"{d.time:%d %b}: {d.reason}")
        for d in story.decisions
        if d.kind in {"train", "rollback", "refuse-data"}
    )
    figures = []
    for metric, shown in _SHOWN.items():
        lines = [
            Line(
                name=s.name,
                style=style,
                points=tuple((week, values[metric]) for week, values in s.weekly),
            )
            for s, style in zip(story.strategies, _STYLES, strict=False)
        ]
        figures.append(chart(f"{shown} by week", lines, marks))
    legend = (
        "<p class='key'><span class='train'></span> training started "
        "<span class='rollback'></span> rolled back "
        "<span class='refuse-data'></span> data refused</p>"
    )
    return f"<section><h2>Quality over the year</h2>{legend}{''.join(figures)}</section>"


def _timeline(story: Story) -> str:
    rows = "".join(
        f"<tr class='{d.outcome}'><td><time>{d.time:%d %b %H:%M}</time></td>"
        f"<td><span class='kind {d.kind}'>{escape(d.kind)}</span></td>"
        f"<td>{escape(d.reason)}{_numbers(d)}</td><td>{escape(d.result)}</td></tr>"
        for d in story.decisions
    )
    return (
        "<section><h2>Every decision, with its reason</h2><table class='decisions'>"
        "<thead><tr><th>when</th><th>decision</th><th>because</th><th>outcome</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )


def _numbers(decision: Decision) -> str:
    if not decision.numbers:
        return ""
    shown = ", ".join(f"{escape(k)} {v:.4g}" for k, v in decision.numbers.items())
    return f"<small>{shown}</small>"


def _findings(story: Story) -> str:
    rows = "".join(
        f"<tr><td><time>{f.time:%d %b}</time></td><td>{escape(f.kind)}</td>"
        f"<td>{escape(f.message)}</td></tr>"
        for f in story.findings
    )
    return (
        "<section><h2>What the monitor found</h2><table class='decisions'>"
        "<thead><tr><th>when</th><th>kind</th><th>finding</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )


def _commands(story: Story) -> str:
    rows = "".join(
        f"<dt><code>{escape(command)}</code></dt><dd>{escape(what)}</dd>"
        for command, what in story.commands
    )
    return f"<section><h2>Try next</h2><dl>{rows}</dl></section>"
