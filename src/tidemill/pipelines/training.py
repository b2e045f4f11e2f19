"""The supplied model pipeline, written with the public `@step` and nothing private.

validate → split by time → train → package (with the ONNX twin) → evaluate → judge → refit →
register → roll out. Each step can be replaced.
"""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.core.contract import Contract
from tidemill.core.errors import TidemillError, UserCodeFailed, nearest
from tidemill.core.policy import ModelPolicy
from tidemill.core.policy.rules import SANDBOXED
from tidemill.core.tasks import Task
from tidemill.datasets.records import ValidationReport
from tidemill.datasets.service import scan_files
from tidemill.datasets.validation import validate
from tidemill.models.packing import pack
from tidemill.models.protocol import Trust
from tidemill.models.records import Signature
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.opening import Surroundings
from tidemill.pipelines.comparison import Answers, aligned
from tidemill.pipelines.errors import BadPipeline, PipelinesError
from tidemill.pipelines.evaluation import answers_of, evaluate_bundle, label_array
from tidemill.pipelines.gates import judge
from tidemill.pipelines.records import Checks, Evaluation, GateReport
from tidemill.pipelines.steps import Node, Pipeline, step

SAMPLE = 5000
LEAST_UNSEEN = 30
MOST_CLASSES = 50


class TrainingFailed(PipelinesError, UserCodeFailed):
    """The user's training function cannot be found, raised, or gave back nothing."""


class RecordedRows(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint answered lately, kept for a training.

    Attributes:
        digest: The stored table.
        file: Where it lies.
    """

    digest: str
    file: str


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that a training depends on. The same recipe gives the same model.

    Attributes:
        model: The model's name.
        policy: Its section of the policy.
        dataset: The dataset version, as a reference.
        files: Local paths of its files.
        contract: What its rows are held to.
        code: The digest of the project's code.
        until: The moment up to which rows count.
        created: Goes into the bundle's manifest.
        champion: The folder of the live version's bundle, where there is one.
        champion_ref: The live version, as a reference.
        champion_until: The moment up to which the live version may have learned.
        recorded: What the endpoint answered lately, where the policy has it replayed.
        environments: Where the environments of models without a twin are built.
    """

    model: str
    policy: ModelPolicy
    dataset: str
    files: tuple[str, ...]
    contract: Contract
    code: str
    until: datetime
    created: datetime
    champion: str | None = None
    champion_ref: str | None = None
    champion_until: datetime | None = None
    recorded: RecordedRows | None = None
    environments: str | None = None

    @property
    def surroundings(self) -> Surroundings:
        """What a model without a twin is run with while it is judged.

        The candidate was made by this very run, and the champion by an earlier one.
        """
        if self.environments is None:
            raise BadPipeline(
                f"The recipe of model {self.model!r} names no folder for environments.",
                expected="one that was made by this version",
                hint="Train the model again.",
            )
        trust: Trust = "never" if self.policy.trust == "never" else "own"
        return Surroundings(
            environments=Path(self.environments),
            limits=msgspec.structs.replace(Limits.of(self.policy.runtime), processes=1),
            trust=trust,
        )

    @property
    def refits(self) -> bool:
        """Whether a candidate that passed is trained again on all rows.

        Only where rows have a time: there the next holdout is newer than all that was learned, so
        that the live model can be judged on it fairly.
        """
        return self.policy.refit and self.contract.time is not None

    @property
    def label(self) -> str:
        """The column to predict."""
        column = self.contract.label
        if column is None:
            raise BadPipeline(
                f"The dataset of model {self.model!r} has no label.",
                expected="`label` in its section of tidemill.toml, or a column of that role",
            )
        return column.name


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
    time = recipe.contract.time
    if time is None:
        return _random_split(rows, recipe)
    moments = rows[time.name]
    until = moments.max()
    assert isinstance(until, datetime)
    border = until - timedelta(seconds=recipe.policy.holdout)
    if 0 < recipe.policy.holdout < 1:  # a share: of the newest rows
        newest = max(int(rows.height * recipe.policy.holdout), 1)
        border = moments.sort()[-newest - 1] if newest < rows.height else border
    old, new = rows.filter(moments <= border), rows.filter(moments > border)
    if recipe.policy.window is not None:
        old = old.filter(pl.col(time.name) > border - timedelta(seconds=recipe.policy.window))
    return _checked_split(old, new, recipe)


@step
def train(recipe: Recipe, rows: pl.DataFrame) -> Any:
    """Call the user's function."""
    return _fit(recipe, rows)


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
    return _pack(recipe, _fit(recipe, whole), holdout, reference)


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


def task_of(policy: ModelPolicy, labels: pl.Series) -> Task:
    """Return what a model does, by the policy or else by its label.

    Example:
        >>> task_of(ModelPolicy(train="p:f", dataset="d"), pl.Series([True, False]))
        'binary'
        >>> task_of(ModelPolicy(train="p:f", dataset="d"), pl.Series([1.5, 2.5, 3.5]))
        'regression'
    """
    if policy.task is not None:
        return policy.task
    if labels.dtype.is_float():
        return "regression"
    classes = labels.n_unique()
    if classes <= 2:
        return "binary"
    many = labels.dtype.is_integer() and classes > MOST_CLASSES
    return "regression" if many else "multiclass"


def _scan(recipe: Recipe) -> pl.LazyFrame:
    frame = scan_files([Path(f) for f in recipe.files], recipe.contract)
    time = recipe.contract.time
    return frame if time is None else frame.filter(pl.col(time.name) <= recipe.until)


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
    return holdout.filter(pl.col(time.name) > recipe.champion_until)


def _champion_answers(recipe: Recipe, rows: pl.DataFrame, candidate: Signature) -> Answers:
    assert recipe.champion is not None
    answers, own = answers_of(Path(recipe.champion), rows, recipe.surroundings)
    return aligned(answers, own.classes or (), candidate.classes or ())


def _random_split(rows: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep a share of the rows for judging, chosen by what is in a row.

    A row stays on its side when others are added, so that no model ever learns from a row that a
    later one is judged by.
    """
    share = recipe.policy.holdout
    if not 0 < share < 1:
        raise BadPipeline(
            f"The holdout of model {recipe.model!r} is {share:g}, and its dataset has no time "
            "column.",
            expected="a share of the rows between 0 and 1, such as holdout = 0.2",
        )
    chosen = rows.hash_rows(seed=recipe.policy.seed) % 1_000_000 < share * 1_000_000
    return _checked_split(rows.filter(~chosen), rows.filter(chosen), recipe)


def _checked_split(
    rows: pl.DataFrame, holdout: pl.DataFrame, recipe: Recipe
) -> tuple[pl.DataFrame, pl.DataFrame]:
    for part, frame in (("to learn from", rows), ("to judge by", holdout)):
        if frame.height < 2:
            raise BadPipeline(
                f"Of {rows.height + holdout.height:,} labelled rows, {frame.height} are left "
                f"{part}.",
                expected="at least two of both",
                hint="Change `holdout` or `window` of the model, or add data.",
            )
    return rows, holdout


def _fit(recipe: Recipe, rows: pl.DataFrame) -> Any:
    function = _training_function(recipe.policy.train)
    names = [c.name for c in recipe.contract.features] + [recipe.label]
    offered = {"seed": recipe.policy.seed, **recipe.policy.params}
    accepted = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    for name in recipe.policy.params:
        if name not in accepted and not takes_all:
            raise TrainingFailed(
                f"{recipe.policy.train} takes no argument {name!r}, which `params` names.",
                expected=nearest(name, list(accepted)),
            )
    chosen = {k: v for k, v in offered.items() if takes_all or k in accepted}
    try:
        model = function(rows.select(names), **chosen)
    except TidemillError:
        raise
    except Exception as error:
        import traceback

        traceback.print_exc()
        raise TrainingFailed(
            f"{recipe.policy.train} raised {type(error).__name__}: {error}",
            expected="a fitted model to be returned",
            hint="The traceback is in the log of the step.",
        ) from error
    if model is None:
        raise TrainingFailed(
            f"{recipe.policy.train} returned nothing (None).",
            expected="the fitted model",
            hint="End the function with `return model`.",
        )
    return model


def _training_function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function or "fit")
    except ModuleNotFoundError as error:
        raise TrainingFailed(
            f"The training function {name!r} cannot be found: {error}.",
            expected="MODULE:FUNCTION, the module beside tidemill.toml",
        ) from error
    except AttributeError as error:
        known = [n for n in dir(importlib.import_module(module)) if not n.startswith("_")]
        raise TrainingFailed(
            f"The module {module!r} has no {function!r}.", expected=nearest(function, known)
        ) from error
    except Exception as error:
        import traceback

        traceback.print_exc()
        raise TrainingFailed(
            f"The module {module!r} cannot be imported: {type(error).__name__}: {error}",
            hint="The traceback is in the log of the step.",
        ) from error
    assert callable(found)
    return found  # type: ignore[no-any-return]


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
