"""Models, their versions, and how they are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from tidemill.core.references import Ref
from tidemill.lineage.records import Edge
from tidemill.loop.records import Change
from tidemill.models.bundle import open_bundle
from tidemill.models.records import Manifest
from tidemill.pipelines.records import PipelineRun
from tidemill.registry.records import AliasChange, Model, ModelVersion
from tidemill.server.operations.records import Job
from tidemill.server.operations.subject import USER, Subject, changes
from tidemill.serving.routes import Runtime

if TYPE_CHECKING:  # a running server has no use for the pipelines' service yet
    from tidemill.pipelines.service import Progress

Depth = Annotated[int, msgspec.Meta(ge=1, le=10)]


class Models(Subject):
    """Models, their versions, and how they are made."""

    def models(self) -> list[Model]:
        """All models."""
        return self._home.registry.models()

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, newest first."""
        return self._home.registry.versions(model)

    def version(self, ref: str) -> ModelVersion:
        """One model version."""
        return self._version(ref)

    def history(self, model: str) -> list[AliasChange]:
        """What was live when, newest first."""
        return self._home.registry.history(model)

    def chronicle(self, model: str) -> list[Change]:
        """Everything that happened to a model, with who, when and why, newest first."""
        return self._home.chronicle.of(model)

    def bundle(self, ref: str) -> str:
        """The folder of a version's bundle, unpacked."""
        return str(self._home.shelf.unpack(self._version(ref).packed))

    def runtime(self, ref: str) -> Runtime:
        """What the policy says of a version's processes, where it has no twin."""
        how = self._home.shelf.surroundings(self._version(ref).model)
        return Runtime(trust=how.trust, keys=tuple(how.keys), limits=how.limits)

    def manifest(self, ref: str) -> Manifest:
        """What a version's bundle says of it."""
        # Unpacking has checked every file against its digest.
        return open_bundle(self._home.shelf.unpack(self._version(ref).packed), verify=False)

    def lineage(self, ref: str, depth: Depth = 3) -> list[Edge]:
        """What anything came from and what came of it, so many steps each way."""
        named = Ref.parse(ref)
        below = self._home.lineage.downstream(named, depth)
        return [*reversed(self._home.lineage.upstream(named, depth)), *below]

    @changes
    def train(self, model: str) -> Job:
        """Train, judge, register and roll out; runs on in the background."""
        return self._begun(
            "train",
            model,
            lambda told: self._home.controller.train(model, actor=USER, on_progress=told),
        )

    @changes
    def check(self, model: str) -> Job:
        """Train and judge the working tree's model, and stop there."""
        return self._begun(
            "check",
            model,
            lambda told: self._home.trainer.check(model, actor=USER, on_progress=told),
        )

    @changes
    def pack(self, ref: str, rows: str | None = None) -> Job:
        """Give a version that was only logged files its bundle; runs on in the background."""
        version = self._version(ref)
        file = None if rows is None else Path(rows)
        return self._jobs.start(
            lambda job: setattr(
                job, "version", self._home.adoption.pack(version, actor=USER, rows=file)
            ),
            f"pack {version.ref}",
        )

    @changes
    def alias(self, model: str, alias: str, version: int, reason: str = "") -> Model:
        """Have an alias name a version."""
        said = reason or "It was set by hand."
        self._home.registry.set_alias(model, alias, version, actor=USER, reason=said)
        return self._home.registry.model(model)

    @changes
    def stage(
        self, ref: str, stage: str, reason: str = "", archive_others: bool = False
    ) -> ModelVersion:
        """Put a version into one of MLflow's stages."""
        version = self._version(ref)
        return self._home.catalogue.set_stage(
            version.model,
            version.version,
            stage,
            actor=USER,
            reason=reason or "It was set by hand.",
            archive_others=archive_others,
        )

    @changes
    def approve(self, ref: str, reason: str = "") -> ModelVersion:
        """Mark a version as ready for use."""
        version = self._version(ref)
        said = reason or "It was approved by hand."
        return self._home.registry.approve(version.model, version.version, reason=said, actor=USER)

    def _begun(self, what: str, model: str, work: Callable[[Progress], PipelineRun]) -> Job:
        """Begin with what is done to a model of the policy, which runs on in the background."""
        self._home.trainer.model_policy(model)

        def run(job: Job) -> None:
            job.run = work(lambda _, step: job.show(step.name))

        return self._jobs.start(run, f"{what} {model}")
