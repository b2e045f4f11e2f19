"""One pass over a source: what is read, what is kept of it, and how much of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from tidemill.exchange.errors import BadSource
from tidemill.exchange.mlflow.protocol import Source
from tidemill.exchange.mlflow.records import SourceFile, SourceModel, SourceRun, Tally
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.tracking.errors import BadArtifactPath
from tidemill.tracking.intake import Held, Intake
from tidemill.tracking.records import Artifact, LoggedModel, Metric, Run
from tidemill.tracking.validation import check_path

POINTS_AT_ONCE = 20_000
FILES_AT_ONCE = 500
Owner = TypeVar("Owner", Run, LoggedModel)


class Take:
    """One pass over a source's experiments, runs and logged models.

    Attributes:
        read: What was read so far.
        places: Where each run's artifacts were said to be, by that place.
        left_out: Owners whose files were left where they are.
    """

    def __init__(
        self, intake: Intake, blobs: BlobStore, source: Source, *, with_artifacts: bool
    ) -> None:
        self._intake = intake
        self._blobs = blobs
        self._source = source
        self._with_artifacts = with_artifacts
        self._experiments: dict[str, str] = {}
        self._runs: list[str] = []
        self._models: list[str] = []
        self.read = Tally()
        self.places: dict[str, str] = {}
        self.left_out = 0

    def experiments(self, actor: str) -> None:
        """Take in experiments, which everything else belongs to."""
        for given in self._source.experiments():
            self._experiments[given.id] = self._intake.experiment(given, actor=actor).id
        self.read += Tally(experiments=len(self._experiments))

    def runs(self) -> Iterator[int]:
        """Take in runs; give how many are done after each batch."""
        for batch in self._source.runs():
            ids = [entry.run.id for entry in batch]
            self._intake.runs([(self._placed(entry.run), entry.links) for entry in batch])
            self._points(batch, self._intake.known_points(ids))
            for part in self._files(batch, ids, self._intake.known_run_files(ids)):
                self._intake.run_files(part)
            self._runs += ids
            self.places |= {entry.place.rstrip("/"): entry.run.id for entry in batch if entry.place}
            self.read += _run_tally(batch)
            yield len(self._runs)

    def models(self) -> None:
        """Take in logged models."""
        for batch in self._source.models():
            ids = [entry.model.id for entry in batch]
            self._intake.models([self._placed(entry.model) for entry in batch])
            for part in self._files(batch, ids, self._intake.known_model_files(ids)):
                self._intake.model_files(part)
            self._models += ids
            self.read += _model_tally(batch)

    def here(self) -> Tally:
        """Return how much of what was read is kept."""
        runs = self._intake.held_of_runs(self._runs)
        models = self._intake.held_of_models(self._models)
        return Tally(
            experiments=len(set(self._experiments.values())),
            runs=runs.owners,
            logged_models=models.owners,
            **_sums(runs, models),
        )

    def _placed(self, owner: Owner) -> Owner:
        """Return a run or a model with the experiment that it belongs to here."""
        known = self._experiments.get(owner.experiment_id)
        if known is None:
            raise BadSource(
                f"{owner.id} belongs to the experiment {owner.experiment_id!r}, which "
                f"{self._source.name} does not have.",
                expected="runs and models of experiments that are there",
            )
        return msgspec.structs.replace(owner, experiment_id=known)

    def _points(self, batch: Sequence[SourceRun], known: Mapping[str, int]) -> None:
        waiting: list[tuple[str, list[Metric]]] = []
        count = read = 0
        for entry in batch:
            if entry.points is not None and known.get(entry.run.id, 0) >= entry.points:
                read += entry.points
                continue
            for part in self._source.points(entry):
                waiting.append((entry.run.id, part))
                count += len(part)
                read += len(part)
                if count >= POINTS_AT_ONCE:
                    self._intake.points(waiting)
                    waiting, count = [], 0
        self._intake.points(waiting)
        self.read += Tally(points=read)

    def _files(
        self,
        owners: Sequence[SourceRun | SourceModel],
        ids: Sequence[str],
        known: set[tuple[str, str]],
    ) -> Iterator[list[tuple[str, Artifact]]]:
        """Store files that are not known, and give them some at a time."""
        waiting: list[tuple[str, Artifact]] = []
        for owner, name in zip(owners, ids, strict=True):
            for file in self._listed(owner):
                self.read += Tally(artifacts=1)
                if (name, file.path) in known:
                    continue
                _require_path(name, file.path)
                waiting.append((name, self._stored(file)))
                if len(waiting) >= FILES_AT_ONCE:
                    yield waiting
                    waiting = []
        yield waiting

    def _listed(self, owner: SourceRun | SourceModel) -> Iterable[SourceFile]:
        if self._with_artifacts:
            return self._source.files(owner)
        self.left_out += 1
        return ()

    def _stored(self, file: SourceFile) -> Artifact:
        with file.open() as stream:
            blob = self._blobs.put(stream)
        return Artifact(path=file.path, digest=blob.digest, size=blob.size)


def _require_path(owner: str, path: str) -> None:
    try:
        check_path(path)
    except BadArtifactPath as error:
        raise BadSource(
            f"The file {path[:200]!r} of {owner} cannot be kept under its name.",
            expected=error.expected,
            hint="Rename it in the source, or leave files out with --no-artifacts.",
        ) from error


def _run_tally(batch: Sequence[SourceRun]) -> Tally:
    return Tally(
        runs=len(batch),
        params=sum(len(entry.run.params) for entry in batch),
        tags=sum(len(entry.run.tags) for entry in batch),
        inputs=sum(
            len({(d.name, d.digest) for d in e.links.datasets})
            + len(e.links.read)
            + len(e.links.written)
            for e in batch
        ),
    )


def _model_tally(batch: Sequence[SourceModel]) -> Tally:
    return Tally(
        logged_models=len(batch),
        params=sum(len(entry.model.params) for entry in batch),
        tags=sum(len(entry.model.tags) for entry in batch),
    )


def _sums(runs: Held, models: Held) -> dict[str, int]:
    names = ("params", "tags", "artifacts")
    both = {name: getattr(runs, name) + getattr(models, name) for name in names}
    return both | {"points": runs.points, "inputs": runs.inputs}
