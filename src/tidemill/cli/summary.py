"""What commands say at their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from tidemill.cli.output import Output, cell

if TYPE_CHECKING:
    from tidemill.demo.runner import Outcome
    from tidemill.loop.records import Trace
    from tidemill.pipelines.records import Evaluation, GateReport, PipelineRun, StepRun
    from tidemill.sdk.session import Session

_SHOWN = {"roc_auc": "AUC", "f1": "F1", "log_loss": "log loss"}


def demo_summary(outcome: Outcome, console: Console) -> None:
    """Tell what the demonstration brought, and what to try next."""
    from pathlib import Path

    from tidemill.demo.comparison import verdict
    from tidemill.demo.runner import commands

    timeline = Table(box=None, pad_edge=False, title="Every decision, with its reason")
    for name in ("when", "decision", "because", "outcome"):
        timeline.add_column(name, overflow="fold", header_style="dim")
    for d in outcome.decisions:
        timeline.add_row(f"{d.time:%d %b}", d.kind, escape(d.reason), escape(d.result))
    console.print(timeline)
    table = Table(box=None, pad_edge=False, title="\nWas it worth it?")
    for name in ("", "retrains", *_SHOWN.values()):
        table.add_column(name, header_style="dim")
    for s in outcome.strategies:
        table.add_row(s.name, str(s.retrains), *(f"{s.total[m]:.4f}" for m in _SHOWN))
    console.print(table)
    if len(outcome.strategies) > 1:
        console.print(verdict(outcome.strategies))
    console.print(
        f"\n{outcome.predictions:,} predictions, {outcome.failed} failed requests, "
        f"{outcome.findings} findings, {outcome.seconds:.0f} seconds."
    )
    console.print(f"The report: [bold]{outcome.report}[/bold]\n\nTry next:")
    for command, what in commands(Path(outcome.project), outcome.prediction, outcome.run):
        console.print(
            f"  [bold]{escape(command)}[/bold]  [dim]{escape(what)}[/dim]", soft_wrap=True
        )


def run_summary(session: Session, run: PipelineRun, output: Output) -> None:
    """Tell how a training ended: each step, the verdict, and what answers requests now."""
    output.write(f"{run.id}  {run.pipeline}  {run.status}")
    if run.error:
        output.say(run.error)
    output.table(
        ("step", "status", "took", "error"),
        [(s.name, s.status, _took(s), s.error) for s in run.steps],
    )
    gate: GateReport | None = session.ask("gate", id=run.id)
    if gate is None:
        return
    against = f", against {gate.champion}" if gate.champion else ""
    verdict = "passes its gate" if gate.passed else "is held back by its gate"
    output.say(f"The candidate {verdict}, on {gate.rows:,} held-out rows{against}:")
    for rule in gate.rules:
        output.say(f"  {'✓' if rule.passed else '✗'} {rule.sentence}")
    for line in _now_live(session, run):
        output.say(line)


def _took(step: StepRun) -> str | None:
    if step.started is None or step.ended is None:
        return None
    return f"{(step.ended - step.started).total_seconds():.1f} s"


def _now_live(session: Session, run: PipelineRun) -> Iterator[str]:
    """Say which version the run registered, and how much of the traffic it has."""
    for endpoint in session.ask("endpoints"):
        model, live, canary = endpoint.champion.model, endpoint.champion, endpoint.canary
        made = [v.version for v in session.ask("versions", model=model) if v.run_id == run.id]
        if live.version in made:
            yield f"model:{model}@{live.version} answers all of endpoint:{endpoint.endpoint}."
        elif canary is not None and canary.version in made:
            share = f"{endpoint.canary_percent:g}%"
            yield f"model:{model}@{canary.version} answers {share} of endpoint:{endpoint.endpoint}."


def check_report(session: Session, run: PipelineRun) -> str:
    """Return the Markdown report of a check."""
    lines = [f"## Tidemill: {run.pipeline}", ""]
    if run.status != "finished":
        return "\n".join([*lines, f"The run **{run.status}**: {run.error}", ""])
    gate: GateReport = session.ask("gate", id=run.id)
    found: Evaluation = session.ask("evaluation", id=run.id)
    verdict = "**passes its gate**" if gate.passed else "is **held back**"
    lines += [f"The candidate {verdict}, judged on {gate.rows:,} held-out rows.", ""]
    if gate.champion:
        lines += [f"It was compared with `{gate.champion}`.", ""]
    lines += ["| metric | candidate |", "|---|---|"]
    lines += [f"| {name} | {value:.4f} |" for name, value in found.metrics.items()]
    lines += ["", "| rule | holds | |", "|---|---|---|"]
    lines += [
        f"| {r.metric} {r.rule} | {'yes' if r.passed else '**no**'} | {r.sentence} |"
        for r in gate.rules
    ]
    if found.slices:
        names = list(found.slices[0].metrics)
        lines += [
            "",
            "| slice | rows | " + " | ".join(names) + " |",
            "|---" * (len(names) + 2) + "|",
        ]
        lines += [
            f"| {s.column} = {s.value} | {s.rows:,} | "
            + " | ".join(f"{s.metrics[n]:.4f}" for n in names)
            + " |"
            for s in found.slices
        ]
    return "\n".join([*lines, ""])


def trace_tree(trace: Trace) -> None:
    """Draw a prediction's chain."""
    root: Tree | None = None
    branch: Any = None
    for link in trace.links:
        when = "" if link.time is None else f"  [dim]{link.time:%Y-%m-%d %H:%M:%S}[/dim]"
        node = f"[bold]{link.what}[/bold] {escape(link.reference)}{when}"
        if root is None:
            root = branch = Tree(node)
        else:
            branch = branch.add(node)
        for key, value in link.facts.items():
            if key == "features":
                continue
            branch.add(f"[dim]{escape(key)}[/dim] {escape(cell(value))}")
        if "features" in link.facts:
            branch.add(f"[dim]features[/dim] {escape(cell(link.facts['features']))}")
    if root is not None:
        Console().print(root)
