"""The supplied model pipeline, written with the public `@step` and nothing private.

validate → split by time → train → package (with the ONNX twin) → evaluate → judge → refit →
register → roll out. Each step can be replaced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.core.policy.rules import SANDBOXED
from tidemill.datasets.records import ValidationReport
from tidemill.datasets.service import scan_files
from tidemill.datasets.validation import validate
from tidemill.models.packing import pack
from tidemill.models.records import Signature
from tidemill.pipelines.comparison import Answers, aligned
from tidemill.pipelines.evaluation import answers_of, evaluate_bundle, label_array
from tidemill.pipelines.fitting import fitted
from tidemill.pipelines.gates import judge
from tidemill.pipelines.recipe import Recipe, task_of
from tidemill.pipelines.records import Checks, Evaluation, GateReport
from tidemill.pipelines.splitting import split_by_chance, split_by_time
from tidemill.pipelines.steps import Node, Pipeline, step

SAMPLE = 5000
LEAST_UNSEEN = 30


@step
def validate_rows(recipe: Recipe) -> ValidationReport:
    """Hold all rows against the contract as it is now."""
    from tidemill.datasets.errors import ContractBroken

    rules = msgspec.structs.replace(recipe.contract, max_rows=None, max_age_seconds=None)
    # Uniqueness was held per file; over all of them a key may come again with a correction.
    columns = tuple(
        msgspec.structs.replace(c, role="ignored", unique=False) if c.role == "key" else c
        for c in rules.columns
    )
    rules = msgspec.structs.replace(rules, columns=columns)
    report = validate(_scan(recipe), rules, now=recipe.until, name=recipe.dataset)
    if not report.passed:
        raise ContractBroken(recipe.dataset, report)
    return report


@step
def split_rows(recipe: Recipe, report: ValidationReport) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows to learn from and newer rows to judge by."""
    rows = _labelled(recipe)
    return split_by_time(rows, recipe) if recipe.contract.time else split_by_chance(rows, recipe)


@step
def train(recipe: Recipe, rows: pl.DataFrame) -> Any:
    """Call the user's function."""
    return fitted(recipe, rows)


@step
def package(recipe: Recipe, model: Any, rows: pl.DataFrame, holdout: pl.DataFrame) -> Path:
    """Pack the model with its twin, and with the rows that the monitor will compare with."""
    folder = _pack(recipe, model, holdout, None)
    reference = _reference(recipe, folder, rows, holdout)
    return _pack(recipe, model, holdout, reference)


@step(cache=False)
def evaluate_candidate(recipe: Recipe, bundle: Path, holdout: pl.DataFrame) -> Evaluation:
    """Measure the candidate through its twin."""
    from tidemill.tracking.active import active_run
    from tidemill.tracking.records import Metric

    names = tuple(n for n in (*recipe.policy.metrics, *recipe.policy.gate) if n not in SANDBOXED)
    evaluation = evaluate_bundle(
        bundle,
        holdout,
        recipe.label,
        tuple(dict.fromkeys(names)),
        recipe.policy.monitor.segments,
        recipe.surroundings,
    )
    run = active_run()
    if run is not None:
        stamp = int(recipe.created.timestamp() * 1000)
        measured = {**evaluation.metrics, "latency_p99_ms": evaluation.latency_p99_ms}
        points = [Metric(k, v, stamp) for k, v in measured.items()]
        run.sink.log(run.id, metrics=points)
        report = msgspec.json.format(msgspec.json.encode(evaluation), indent=1)
        run.sink.log_artifact(run.id, "evaluation.json", report)
    return evaluation


@step(cache=False)
def judge_candidate(
    recipe: Recipe, bundle: Path, holdout: pl.DataFrame, evaluation: Evaluation, checks: Checks
) -> GateReport:
    """Hold the candidate against the gate and the live model, on the same rows."""
    from tidemill.tracking.active import active_run

    unseen = _unseen(recipe, holdout)
    comparable = recipe.champion is None or unseen.height >= LEAST_UNSEEN
    unseen = unseen if comparable else holdout
    candidate, signature = answers_of(bundle, unseen, recipe.surroundings)
    champion = None
    if recipe.champion is not None and comparable:
        champion = _champion_answers(recipe, unseen, signature)
    report = judge(
        {m: r for m, r in recipe.policy.gate.items() if m not in SANDBOXED},
        evaluation.metrics,
        labels=label_array(unseen[recipe.label]),
        candidate=candidate,
        champion=champion,
        champion_ref=recipe.champion_ref,
        signature=signature,
        seed=recipe.policy.seed,
    )
    rules = (*report.rules, *checks.rules)
    passed = all(rule.passed for rule in rules)
    report = msgspec.structs.replace(report, rules=rules, passed=passed)
    run = active_run()
    if run is not None:
        content = msgspec.json.format(msgspec.json.encode(report), indent=1)
        run.sink.log_artifact(run.id, "gate.json", content)
    return report


@step
def refit(
    recipe: Recipe, verdict: GateReport, bundle: Path, rows: pl.DataFrame, holdout: pl.DataFrame
) -> Path:
    """Train once more on all rows, the held-out ones included, and pack that."""
    whole = pl.concat([rows, holdout])
    reference = pl.read_parquet(bundle / "reference.parquet")
    return _pack(recipe, fitted(recipe, whole), holdout, reference)


Check = Callable[[Recipe, Path, pl.DataFrame], Checks]


def model_pipeline(
    recipe: Recipe,
    *,
    check: Check | None,
    decide: Callable[[GateReport], GateReport],
    register: Callable[[Path, Evaluation], str],
    roll_out: Callable[[str], str],
) -> list[Node]:
    """Return the graph that makes, judges and ships a model.

    Args:
        recipe: What to make.
        check: Holds a candidate against what needs more than held-out rows; a step. Nothing where
            the policy asks for no such thing.
        decide: Writes the verdict down, and raises `GateFailed` where it is no.
        register: Takes the bundle in, and returns the new version's reference.
        roll_out: Starts the rollout of a version, and says what it did.
    """
    record = step(cache=False, isolated=False)

    def make(recipe: Recipe) -> None:
        bundle, holdout, rows, evaluation = _candidate(recipe)
        checks = _checked(check, recipe, bundle, holdout)
        verdict = record(decide)(judge_candidate(recipe, bundle, holdout, evaluation, checks))
        if recipe.refits:
            bundle = refit(recipe, verdict, bundle, rows, holdout)
        version = record(_after(register))(bundle, evaluation, verdict)
        record(roll_out)(version)

    return Pipeline(make, f"train {recipe.model}").graph(recipe)


def candidate_pipeline(recipe: Recipe, *, check: Check | None) -> list[Node]:
    """Return the graph that makes and judges a model and stops there: what CI runs."""

    def make(recipe: Recipe) -> None:
        bundle, holdout, _, evaluation = _candidate(recipe)
        checks = _checked(check, recipe, bundle, holdout)
        judge_candidate(recipe, bundle, holdout, evaluation, checks)

    return Pipeline(make, f"check {recipe.model}").graph(recipe)


def reproduction_pipeline(recipe: Recipe) -> list[Node]:
    """Return the graph that makes a model again, whatever its gate said."""

    def make(recipe: Recipe) -> None:
        bundle, holdout, rows, evaluation = _candidate(recipe)
        # A model that is only made again goes nowhere: there is nothing to rehearse.
        verdict = judge_candidate(recipe, bundle, holdout, evaluation, Checks())
        if recipe.refits:
            refit(recipe, verdict, bundle, rows, holdout)

    return Pipeline(make, f"reproduce {recipe.model}").graph(recipe)


def _candidate(recipe: Recipe) -> tuple[Any, Any, Any, Any]:
    report = validate_rows(recipe)
    parts = split_rows(recipe, report)
    rows, holdout = parts[0], parts[1]
    bundle = package(recipe, train(recipe, rows), rows, holdout)
    return bundle, holdout, rows, evaluate_candidate(recipe, bundle, holdout)


def _checked(check: Check | None, recipe: Recipe, bundle: Any, holdout: Any) -> Any:
    return Checks() if check is None else check(recipe, bundle, holdout)


def _after(register: Callable[[Path, Evaluation], str]) -> Callable[..., str]:
    def register_version(bundle: Path, evaluation: Evaluation, verdict: GateReport) -> str:
        return register(bundle, evaluation)

    return register_version


def _scan(recipe: Recipe) -> pl.LazyFrame:
    frame = scan_files([Path(f) for f in recipe.files], recipe.contract)
    time = recipe.contract.time
    return frame if time is None else frame.filter(recipe.moment <= recipe.until)


def _labelled(recipe: Recipe) -> pl.DataFrame:
    names = [c.name for c in recipe.contract.columns if c.role != "ignored"]
    rows = _scan(recipe).select(names).filter(pl.col(recipe.label).is_not_null()).collect()
    time = recipe.contract.time
    return rows if time is None else rows.sort(time.name, maintain_order=True)


def _unseen(recipe: Recipe, holdout: pl.DataFrame) -> pl.DataFrame:
    """Return the held-out rows that the live model cannot have learned from."""
    time = recipe.contract.time
    if recipe.champion is None or recipe.champion_until is None or time is None:
        return holdout
    return holdout.filter(recipe.moment > recipe.champion_until)


def _champion_answers(recipe: Recipe, rows: pl.DataFrame, candidate: Signature) -> Answers:
    assert recipe.champion is not None
    answers, own = answers_of(Path(recipe.champion), rows, recipe.surroundings)
    return aligned(answers, own.classes or (), candidate.classes or ())


def _pack(
    recipe: Recipe, model: Any, holdout: pl.DataFrame, reference: pl.DataFrame | None
) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tidemill-bundle-"))
    pack(
        model,
        name=recipe.model,
        task=task_of(recipe.policy, holdout[recipe.label]),
        contract=recipe.contract,
        sample=holdout.head(SAMPLE),
        folder=folder,
        created=recipe.created,
        threshold=recipe.policy.threshold,
        positive=recipe.policy.positive,
        reference=reference,
        trust="never" if recipe.policy.trust == "never" else "own",
        requirements=recipe.policy.runtime.requirements,
    )
    return folder


def _reference(
    recipe: Recipe, bundle: Path, rows: pl.DataFrame, holdout: pl.DataFrame
) -> pl.DataFrame:
    """Return the rows to compare with; only held-out ones carry what the candidate said."""
    answers, _ = answers_of(bundle, holdout, recipe.surroundings)
    scores = answers.values if answers.scores is None else answers.scores
    judged = holdout.with_columns(
        split=pl.lit("holdout"),
        prediction=pl.Series(answers.values.tolist()),
        score=pl.Series(np.asarray(scores).tolist()),
    )
    learned = rows.with_columns(split=pl.lit("train"))
    return pl.concat([learned, judged], how="diagonal")
