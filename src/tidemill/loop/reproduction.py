"""Makes a run again from what was recorded of it, and says what differs."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from tidemill.core.errors import Conflict
from tidemill.loop.errors import LoopError
from tidemill.loop.records import Difference, Reproduction
from tidemill.loop.trainer import Trainer
from tidemill.models.bundle import open_bundle
from tidemill.pipelines.code import Environment, environment
from tidemill.pipelines.records import Evaluation, PipelineRun
from tidemill.pipelines.service import Pipelines, Progress
from tidemill.registry.service import Registry
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.tracking.service import Tracking


class CannotReproduce(LoopError, Conflict):
    """The run made no model, so that there is nothing to make again."""


class Reproducer:
    """Makes runs again.

    Args:
        trainer: Runs the pipeline.
        pipelines: Where runs and their values are.
        tracking: Where their environments are named.
        registry: Where their models are.
        blobs: Where all of it lies.
    """

    def __init__(
        self,
        trainer: Trainer,
        pipelines: Pipelines,
        tracking: Tracking,
        registry: Registry,
        blobs: BlobStore,
    ) -> None:
        self._trainer = trainer
        self._pipelines = pipelines
        self._tracking = tracking
        self._registry = registry
        self._blobs = blobs

    def reproduce(
        self, run_id: str, *, actor: str, on_progress: Progress | None = None
    ) -> Reproduction:
        """Make a run again: the same rows, code, parameters and seed, in this environment.

        Raises:
            PipelineRunNotFound: No pipeline run has that id.
            CannotReproduce: It made no model, or making it again failed.
        """
        before = self._pipelines.get(run_id)
        known = self._pipelines.value(before, "evaluate_candidate")
        if not isinstance(known, Evaluation):
            raise CannotReproduce(
                f"Run {before.id} ended as {before.status} before its model was measured.",
                hint=f"See how with: tidemill runs show {before.id}",
            )
        after = self._trainer.again(before.id, actor=actor, on_progress=on_progress)
        if after.status != "finished":
            raise CannotReproduce(f"Making the run again ended as {after.status}: {after.error}")
        differences = [*self._environment(before), *self._metrics(known, after)]
        differences += self._model(before, after)
        return Reproduction(
            run=before.id,
            again=after.id,
            identical=not any(d.what.startswith(("metric", "model")) for d in differences),
            compared=("environment", *(f"metric {m}" for m in known.metrics), "model"),
            differences=tuple(differences),
        )

    def _environment(self, before: PipelineRun) -> list[Difference]:
        tags = self._tracking.get(before.id).tags
        known = msgspec.json.decode(
            self._blobs.read(tags["tidemill.environment"]), type=Environment
        )
        now = environment()
        pairs = [("python", known.python, now.python), ("platform", known.platform, now.platform)]
        names = sorted(known.packages.keys() | now.packages.keys())
        pairs += [(n, known.packages.get(n, "–"), now.packages.get(n, "–")) for n in names]
        return [
            Difference(what=f"environment {name}", before=old, after=new)
            for name, old, new in pairs
            if old != new
        ]

    def _metrics(self, known: Evaluation, after: PipelineRun) -> list[Difference]:
        again = self._pipelines.value(after, "evaluate_candidate")
        assert isinstance(again, Evaluation)
        found = []
        for name, old in known.metrics.items():
            new = again.metrics.get(name, math.nan)
            if old != new and not (math.isnan(old) and math.isnan(new)):
                found.append(Difference(what=f"metric {name}", before=repr(old), after=repr(new)))
        return found

    def _model(self, before: PipelineRun, after: PipelineRun) -> list[Difference]:
        old, new = (self._answering(run) for run in (before, after))
        if old == new:
            return []
        return [Difference(what="model", before=old[:12], after=new[:12])]

    def _answering(self, run: PipelineRun) -> str:
        """Return the digest of what answers in the run's last bundle: its twin, or the original."""
        bundle = self._pipelines.value(run, "refit") or self._pipelines.value(run, "package")
        assert isinstance(bundle, Path)
        manifest = open_bundle(bundle)
        answers = manifest.twin.file if manifest.twin else manifest.original
        return next(f.digest for f in manifest.files if f.path == answers)
