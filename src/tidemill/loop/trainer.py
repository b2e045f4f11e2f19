"""Makes a model by the policy: from the newest data to a version that is being rolled out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec

from tidemill.core.clock import Clock
from tidemill.core.contract import Contract
from tidemill.core.errors import NotFound, nearest
from tidemill.core.ids import Ids
from tidemill.core.policy import BacktestPolicy, DatasetPolicy, ModelPolicy, Policy
from tidemill.core.references import Ref
from tidemill.core.tasks import Task
from tidemill.datasets import frames
from tidemill.datasets.contracts import read_contract, write_contract
from tidemill.datasets.errors import NoData
from tidemill.datasets.inference import infer
from tidemill.datasets.records import DatasetVersion, Snapshot
from tidemill.datasets.service import Datasets
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.loop.checks import check_candidate, needed
from tidemill.loop.errors import DatasetNotInPolicy, ModelNotInPolicy, NoProject
from tidemill.loop.recording import Recording
from tidemill.models.bundle import open_bundle
from tidemill.models.signing import Provenance, Signer, sign_bundle
from tidemill.pipelines.code import Environment, environment, git_commit, snapshot_code
from tidemill.pipelines.errors import GateFailed
from tidemill.pipelines.events import GateJudged
from tidemill.pipelines.recipe import Recipe
from tidemill.pipelines.records import Evaluation, GateReport, PipelineRun
from tidemill.pipelines.service import Pipelines, Progress
from tidemill.pipelines.steps import Node
from tidemill.pipelines.training import (
    Check,
    candidate_pipeline,
    model_pipeline,
    reproduction_pipeline,
)
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.trees import get_tree, put_tree

CHAMPION = "champion"


class Rollout(Protocol):
    """Starts the rollout of a version, and says what it did."""

    def __call__(
        self, version: ModelVersion, policy: ModelPolicy, *, actor: str, cause: str | None
    ) -> str: ...


class Trainer:
    """Runs the supplied model pipeline over the rooms.

    Args:
        policy: What `tidemill.toml` says.
        project: The user's folder, where there is one.
        unpack: Gives the folder of a stored bundle.
        environments: Where environments of models without a twin are built.
        signer: Signs bundles, where the policy wants only signed ones to be loaded.
        scratch: Where code is written out for child processes.
        roll_out: Starts a rollout.
        record: Stores what an endpoint answered lately.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        project: Path | None,
        unpack: Callable[[str], Path],
        environments: Path,
        signer: Callable[[], Signer],
        scratch: Path,
        blobs: BlobStore,
        journal: Journal,
        lineage: Lineage,
        datasets: Datasets,
        registry: Registry,
        pipelines: Pipelines,
        roll_out: Rollout,
        record: Recording,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.policy = policy
        self.project = project
        self._unpack = unpack
        self._environments = environments
        self._signer = signer
        self._scratch = scratch
        self._blobs = blobs
        self._journal = journal
        self._lineage = lineage
        self._datasets = datasets
        self._registry = registry
        self._pipelines = pipelines
        self._roll_out = roll_out
        self._record = record
        self._clock = clock
        self._ids = ids

    @cached_property
    def _environment(self) -> Environment:
        return environment()

    def model_policy(self, model: str) -> ModelPolicy:
        """Return a model's section of the policy.

        Raises:
            ModelNotInPolicy: There is none.
        """
        try:
            return self.policy.models[model]
        except KeyError:
            raise ModelNotInPolicy(
                f"tidemill.toml has no model {model!r}.",
                expected=nearest(model, self.policy.models),
                hint=f"Add a section [models.{model}].",
            ) from None

    def take_in(self, dataset: str, *, actor: str, cause: str | None = None) -> Snapshot:
        """Look at a dataset's source and take in what is new.

        Raises:
            DatasetNotInPolicy: The policy has no such dataset.
            NoData: The source names no file, and there is no version.
            NoProject: The home has no project.
        """
        project, policy = self._project(), self._dataset_policy(dataset)
        contract = self.contract(dataset)
        return self._datasets.snapshot(
            dataset, project, policy.source, actor=actor, contract=contract, cause=cause
        )

    def rows(self, dataset: str) -> int:
        """Return how many rows a dataset has now."""
        version = self._datasets.latest(dataset)
        return 0 if version is None else version.rows

    def contract(self, dataset: str) -> Contract:
        """Return a dataset's contract: from its file, or else inferred from its data and written.

        Raises:
            BadContract: The file cannot be read.
            NoData: There are no data to infer it from.
        """
        project, policy = self._project(), self._dataset_policy(dataset)
        path = project / (policy.contract or f"contracts/{dataset}.toml")
        if path.exists():
            return read_contract(path)
        files = sorted(p for p in project.glob(policy.source) if p.is_file())
        if not files:
            raise NoData(
                f"The source {policy.source!r} of dataset {dataset!r} names no file.",
                expected=f"files below {project}",
                hint="Put data there, or mend `source` in tidemill.toml.",
            )
        rows = frames.collect(frames.scan(files[0]), files[0].name)
        contract = infer(
            rows,
            label=policy.label,
            time=policy.time,
            key=policy.key,
            ignore=policy.ignore,
        )
        write_contract(path, contract)
        return contract

    def train(
        self,
        model: str,
        *,
        actor: str,
        run_id: str | None = None,
        cause: str | None = None,
        on_progress: Progress | None = None,
    ) -> PipelineRun:
        """Train, judge, register and roll out; with the id of an interrupted run, go on with it.

        Whatever happens is in the run that is returned; the live model changes only through a
        rollout.
        """
        policy = self.model_policy(model)
        identifier = run_id or self._ids.new()
        recipe = self._known_recipe(identifier) or self._recipe(model, policy, actor, cause)
        self._lineage.record(Ref("code", recipe.code), Ref("run", identifier), "ran")
        self._lineage.record(Ref.parse(recipe.dataset), Ref("run", identifier), "trained")
        return self._pipelines.run(
            f"train {model}",
            self._nodes(recipe, policy, identifier, actor, cause),
            run_id=identifier,
            actor=actor,
            experiment=model,
            arguments=recipe,
            code=self._materialised(recipe.code),
            code_digest=recipe.code,
            tags=self._tags(recipe),
            cause=cause,
            on_progress=on_progress,
        )

    def check(self, model: str, *, actor: str, on_progress: Progress | None = None) -> PipelineRun:
        """Train and judge the working tree's model, and stop there: what CI runs."""
        policy = self.model_policy(model)
        recipe = self._recipe(model, policy, actor, None)
        identifier = self._ids.new()
        return self._pipelines.run(
            f"check {model}",
            candidate_pipeline(recipe, check=_check_of(recipe)),
            run_id=identifier,
            actor=actor,
            experiment=model,
            arguments=recipe,
            code=self._materialised(recipe.code),
            code_digest=recipe.code,
            tags=self._tags(recipe),
            on_progress=on_progress,
        )

    def again(self, run_id: str, *, actor: str, on_progress: Progress | None = None) -> PipelineRun:
        """Run the recipe of a recorded run once more, every step of it.

        Raises:
            PipelineRunNotFound: No pipeline run has that id.
        """
        known = self._pipelines.get(run_id)
        recipe = msgspec.json.decode(known.arguments, type=Recipe)
        return self._pipelines.run(
            f"reproduce {recipe.model}",
            reproduction_pipeline(recipe),
            run_id=self._ids.new(),
            actor=actor,
            experiment=f"{recipe.model} (reproductions)",
            arguments=recipe,
            code=self._materialised(recipe.code),
            code_digest=recipe.code,
            tags=self._tags(recipe) | {"tidemill.reproduces": known.id},
            on_progress=on_progress,
            fresh=True,
        )

    def outcome(self, run: PipelineRun) -> str:
        """Say what a finished training brought."""
        said = self._pipelines.value(run, "roll_out")
        return str(said) if said else "The run finished."

    def champion(self, model: str) -> ModelVersion | None:
        """Return the live version, or nothing before the first."""
        try:
            return self._registry.version(Ref("model", model, CHAMPION))
        except NotFound:
            return None

    def bundle(self, version: ModelVersion) -> Path:
        """Return the folder of a version's bundle, unpacked."""
        return self._unpack(version.packed)

    def _nodes(
        self,
        recipe: Recipe,
        policy: ModelPolicy,
        run_id: str,
        actor: str,
        cause: str | None,
    ) -> list[Node]:
        model = recipe.model

        def decide(verdict: GateReport) -> GateReport:
            event = GateJudged(run_id=run_id, model=model, report=verdict)
            self._journal.record(event, subject=Ref("run", run_id), actor=actor, cause=cause)
            if not verdict.passed:
                raise GateFailed(verdict)
            return verdict

        def register(bundle: Path, evaluation: Evaluation) -> str:
            return str(self._register(recipe, bundle, evaluation, run_id, actor, cause).ref)

        def roll_out(version: str) -> str:
            registered = self._registry.version(Ref.parse(version))
            return self._roll_out(registered, policy, actor=actor, cause=cause)

        return model_pipeline(
            recipe,
            check=_check_of(recipe),
            decide=decide,
            register=register,
            roll_out=roll_out,
        )

    def _register(
        self,
        recipe: Recipe,
        bundle: Path,
        evaluation: Evaluation,
        run_id: str,
        actor: str,
        cause: str | None,
    ) -> ModelVersion:
        manifest = open_bundle(bundle)
        if recipe.policy.trust == "signed":
            provenance = Provenance(
                model=recipe.model, version=None, run=run_id, datasets=(recipe.dataset,)
            )
            sign_bundle(bundle, self._signer(), provenance)
        task: Task = manifest.signature.task
        return self._registry.register(
            recipe.model,
            bundle=put_tree(self._blobs, bundle).digest,
            run_id=run_id,
            dataset=Ref.parse(recipe.dataset),
            task=task,
            flavor=manifest.flavor,
            metrics=evaluation.metrics,
            actor=actor,
            cause=cause,
        )

    def _recipe(self, model: str, policy: ModelPolicy, actor: str, cause: str | None) -> Recipe:
        self.take_in(policy.dataset, actor=actor, cause=cause)
        version = self._newest(policy.dataset)
        champion = self.champion(model)
        recipe = Recipe(
            model=model,
            policy=policy,
            dataset=str(version.ref),
            files=tuple(map(str, self._datasets.paths(version))),
            contract=self.contract(policy.dataset),
            code=snapshot_code(self._project(), self._blobs),
            until=self._clock.now(),
            created=self._clock.now(),
            environments=str(self._environments),
            champion=None if champion is None else str(self.bundle(champion)),
            champion_ref=None if champion is None else str(champion.ref),
            champion_until=None if champion is None else self._learned_until(champion),
        )
        if not needed(recipe):
            return recipe
        stretch = (policy.backtest or BacktestPolicy()).stretch
        since = recipe.until - timedelta(seconds=stretch)
        recorded = self._record(policy.serving.endpoint or model, since)
        return msgspec.structs.replace(recipe, recorded=recorded)

    def _learned_until(self, version: ModelVersion) -> datetime | None:
        recipe = None if version.run_id is None else self._known_recipe(version.run_id)
        return None if recipe is None or not recipe.refits else recipe.until

    def _known_recipe(self, run_id: str) -> Recipe | None:
        """Return the recipe of a run that was begun: it must go on with the very same."""
        try:
            run = self._pipelines.get(run_id)
        except NotFound:
            return None
        return msgspec.json.decode(run.arguments, type=Recipe)

    def _newest(self, dataset: str) -> DatasetVersion:
        version = self._datasets.latest(dataset)
        if version is None:
            raise NoData(
                f"Dataset {dataset!r} has no version: every file of its source was refused.",
                hint=f"See why with: tidemill data show {dataset}",
            )
        return version

    def _tags(self, recipe: Recipe) -> dict[str, str]:
        surroundings = self._environment
        stored = self._blobs.put(msgspec.json.encode(surroundings, order="sorted"))
        tags = {
            "tidemill.model": recipe.model,
            "tidemill.dataset": recipe.dataset,
            "tidemill.code": recipe.code,
            "tidemill.environment": stored.digest,
            "tidemill.seed": str(recipe.policy.seed),
        }
        commit = git_commit(self._project())
        return tags | ({"tidemill.commit": commit} if commit else {})

    def _materialised(self, code: str) -> Path:
        folder = self._scratch / "code" / code
        get_tree(self._blobs, code, folder)
        return folder

    def _dataset_policy(self, dataset: str) -> DatasetPolicy:
        try:
            return self.policy.datasets[dataset]
        except KeyError:
            raise DatasetNotInPolicy(
                f"tidemill.toml has no dataset {dataset!r}.",
                expected=nearest(dataset, self.policy.datasets),
                hint=f"Add a section [datasets.{dataset}].",
            ) from None

    def _project(self) -> Path:
        if self.project is None:
            raise NoProject(
                "This home has no project: there is no tidemill.toml to read.",
                hint="Make one with `tidemill init`, or say where it is with --project.",
            )
        return self.project


def _check_of(recipe: Recipe) -> Check | None:
    return check_candidate if needed(recipe) else None
