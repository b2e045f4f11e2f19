"""Checks a candidate before it is rolled out: in a sandbox, and on what was asked lately.

A step of the supplied pipeline, and so in a process of its own; the sandbox is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl

from tidemill.core.clock import SystemClock
from tidemill.core.policy import GateRule
from tidemill.core.policy.rules import SANDBOXED
from tidemill.models.bundle import open_bundle
from tidemill.models.runtime.opening import Surroundings
from tidemill.pipelines.gates import limits
from tidemill.pipelines.recipe import Recipe
from tidemill.pipelines.records import Checks, RuleReport
from tidemill.pipelines.steps import step
from tidemill.serving.backtest import backtest
from tidemill.serving.differences import Backtest
from tidemill.serving.errors import SandboxFailed
from tidemill.serving.recorded import Recorded, requests_in, rows_as_requests
from tidemill.serving.rehearsal import Footprint, rehearse
from tidemill.serving.sandbox import Limits, Sandbox

MOST_REQUESTS = 300
_SPARE = 1.5
"""By how much more than its limit a candidate may take before it is ended: to tell how much."""


def needed(recipe: Recipe) -> bool:
    """Tell whether a policy asks for any of this."""
    gate = recipe.policy.gate
    return recipe.policy.backtest is not None or any(m in gate for m in SANDBOXED)


@step(cache=False)
def check_candidate(recipe: Recipe, bundle: Path, holdout: pl.DataFrame) -> Checks:
    """Measure the candidate in a sandbox beside the live model, and replay recorded requests."""
    recorded = None if recipe.recorded is None else pl.read_parquet(recipe.recorded.file)
    try:
        rules = [
            *_rehearsed(recipe, bundle, holdout, recorded),
            *_replayed(recipe, bundle, recorded),
        ]
    except SandboxFailed as error:
        rules = [
            RuleReport(
                metric="sandbox", rule="max", passed=False, candidate=0.0, sentence=str(error)
            )
        ]
    return Checks(rules=tuple(rules))


def _rehearsed(
    recipe: Recipe, bundle: Path, holdout: pl.DataFrame, recorded: pl.DataFrame | None
) -> list[RuleReport]:
    rules = {m: r for m, r in recipe.policy.gate.items() if m in SANDBOXED}
    if not rules:
        return []
    bundles = [bundle]
    if recipe.champion is not None and any(r.max_ratio is not None for r in rules.values()):
        bundles.append(Path(recipe.champion))
    found = rehearse(
        bundles,
        _requests(bundle, holdout, recorded),
        clock=SystemClock(),
        surroundings=_surroundings(recipe),
        limits=_limits(rules),
    )
    _keep("rehearsal.json", found)
    _log(found[0])
    if found[0].failed:
        said = f"{found[0].failed} of {found[0].requests} requests failed in the sandbox: "
        return [
            RuleReport(
                metric="sandbox",
                rule="max",
                passed=False,
                candidate=float(found[0].failed),
                limit=0.0,
                sentence=said + found[0].refusal,
            )
        ]
    champion = found[1] if len(found) > 1 else None
    return [
        report
        for metric, rule in rules.items()
        for report in _judged(metric, rule, found[0], champion)
    ]


def _judged(
    metric: str, rule: GateRule, found: Footprint, champion: Footprint | None
) -> list[RuleReport]:
    value = float(getattr(found, metric))
    reports = limits(metric, rule, value)
    if rule.max_ratio is not None and champion is not None:
        theirs = float(getattr(champion, metric))
        most = rule.max_ratio * theirs
        said = (
            f"{metric} is {value:.4g} against the champion's {theirs:.4g} in the same run; "
            f"{rule.max_ratio:g} times as much may be."
        )
        reports.append(
            RuleReport(
                metric=metric,
                rule="max_ratio",
                passed=value <= most,
                candidate=value,
                champion=theirs,
                limit=most,
                sentence=said,
            )
        )
    return reports


def _replayed(recipe: Recipe, bundle: Path, recorded: pl.DataFrame | None) -> list[RuleReport]:
    policy = recipe.policy.backtest
    if policy is None:
        return []
    if recorded is None or recorded.height < policy.min_rows:
        rows = 0 if recorded is None else recorded.height
        said = f"{rows:,} rows were recorded, too few to replay; {policy.min_rows:,} are asked for."
        return [
            RuleReport(
                metric="backtest", rule="min", passed=True, candidate=float(rows), sentence=said
            )
        ]
    surroundings = _surroundings(recipe)
    with Sandbox(bundle, clock=SystemClock(), surroundings=surroundings) as sandbox:
        found = backtest(
            recorded,
            sandbox,
            endpoint=recipe.policy.serving.endpoint or recipe.model,
            candidate=f"model:{recipe.model}",
            limits=policy,
            segments=policy.segments or recipe.policy.monitor.segments,
        )
    _keep("backtest.json", found)
    return [_backtested(found)]


def _backtested(found: Backtest) -> RuleReport:
    calm = f"{found.changed:.2%} of {found.rows:,} recorded answers change, within every limit."
    return RuleReport(
        metric="backtest",
        rule="max",
        passed=found.passed,
        candidate=found.changed,
        sentence=" ".join(found.breaches) or calm,
    )


def _requests(bundle: Path, holdout: pl.DataFrame, recorded: pl.DataFrame | None) -> list[Recorded]:
    """Return recorded requests, or where there are none held-out rows one by one."""
    if recorded is not None and recorded.height:
        return requests_in(recorded, MOST_REQUESTS)
    names = [c.name for c in open_bundle(bundle, verify=False).signature.features]
    return rows_as_requests(holdout, names, MOST_REQUESTS)


def _surroundings(recipe: Recipe) -> Surroundings | None:
    return None if recipe.environments is None else recipe.surroundings


def _limits(rules: dict[str, GateRule]) -> Limits:
    memory = rules.get("memory_mb")
    if memory is None or memory.max is None:
        return Limits()
    return Limits(memory_mb=max(_SPARE * memory.max, memory.max + 256))


def _keep(name: str, value: Backtest | Sequence[Footprint]) -> None:
    from tidemill.tracking.active import active_run

    run = active_run()
    if run is not None:
        run.sink.log_artifact(run.id, name, msgspec.json.format(msgspec.json.encode(value)))


def _log(found: Footprint) -> None:
    from tidemill.tracking.active import active_run
    from tidemill.tracking.records import Metric

    run = active_run()
    if run is not None:
        stamp = int(SystemClock().now().timestamp() * 1000)
        points = [Metric(f"sandbox.{m}", float(getattr(found, m)), stamp) for m in SANDBOXED]
        run.sink.log(run.id, metrics=points)
