"""Brings across what an MLflow keeps, so that doing it again only adds what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from tidemill.core.references import Ref
from tidemill.exchange.errors import ArtifactsElsewhere, Incomplete, NameTaken
from tidemill.exchange.events import HistoryImported
from tidemill.exchange.mlflow.protocol import Source
from tidemill.exchange.mlflow.records import (
    Imported,
    SourceRegistered,
    Tally,
)
from tidemill.exchange.mlflow.taking import Take
from tidemill.journal.service import Journal
from tidemill.registry.intake import RegistryIntake
from tidemill.registry.names import checked_name
from tidemill.registry.records import ModelVersion
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.tracking.intake import Intake

SHOWN = 3
Progress = Callable[[int, int], None]


class MlflowImport:
    """Takes in one source.

    Args:
        tracking: Keeps experiments, runs and logged models.
        registry: Keeps registered models.
        blobs: Keeps their files.
        journal: Where it is written down that everything came across.
    """

    def __init__(
        self, tracking: Intake, registry: RegistryIntake, blobs: BlobStore, journal: Journal
    ) -> None:
        self._tracking = tracking
        self._registry = registry
        self._blobs = blobs
        self._journal = journal

    def run(
        self,
        source: Source,
        *,
        actor: str,
        with_artifacts: bool = True,
        on_progress: Progress | None = None,
    ) -> Imported:
        """Bring everything across and count it.

        Args:
            source: Where from.
            actor: Who does it.
            with_artifacts: Whether files are brought too.
            on_progress: Called with the number of runs that are done, and of all.

        Raises:
            ArtifactsElsewhere: Artifacts lie where the source may not read; nothing was written.
            BadModelName: A model's name cannot be one here; nothing was written.
            NameTaken: A model has the name of another one here; nothing was written.
            BadSource: The source is damaged.
            Incomplete: Something is missing afterwards.
        """
        if with_artifacts:
            _refuse_elsewhere(source)
        registered = list(source.registered())
        self._refuse_clashes(registered)
        take = Take(self._tracking, self._blobs, source, with_artifacts=with_artifacts)
        take.experiments(actor)
        total = source.count_runs()
        for done in take.runs():
            if on_progress is not None:
                on_progress(done, max(total, done))
        take.models()
        self._register(registered, take.places, actor)
        imported = Imported(
            source=source.name,
            read=take.read + _registry_tally(registered),
            here=take.here() + self._registry_here(registered),
            skipped=source.skipped,
            left_out=take.left_out,
        )
        _require_whole(imported)
        self._note(imported, actor)
        return imported

    def _refuse_clashes(self, registered: Sequence[SourceRegistered]) -> None:
        for entry in registered:
            checked_name(entry.model.name)
            clash = self._registry.clash(entry.versions)
            if clash is not None:
                raise NameTaken(
                    f"Both the source and this home have a {clash.ref}, and they are not the same.",
                    expected="models that have no namesake here",
                    hint="Rename one of the two models first.",
                )

    def _register(
        self, registered: Sequence[SourceRegistered], places: Mapping[str, str], actor: str
    ) -> None:
        for entry in registered:
            versions = [_moved(version, places) for version in entry.versions]
            self._registry.model(entry.model, versions, actor=actor)

    def _registry_here(self, registered: Sequence[SourceRegistered]) -> Tally:
        found = Tally()
        for entry in registered:
            held = self._registry.held(entry.model, entry.versions)
            found += Tally(models=held.models, versions=held.versions, aliases=held.aliases)
        return found

    def _note(self, imported: Imported, actor: str) -> None:
        event = HistoryImported(
            source=imported.source,
            runs=imported.here.runs,
            points=imported.here.points,
            artifacts=imported.here.artifacts,
            versions=imported.here.versions,
        )
        self._journal.record(event, subject=Ref("source", "mlflow"), actor=actor)


def _refuse_elsewhere(source: Source) -> None:
    places = source.elsewhere()
    if not places:
        return
    shown = ", ".join(repr(place[:200]) for place in places[:SHOWN])
    more = f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
    raise ArtifactsElsewhere(
        f"Artifacts of {source.name} lie outside its own folder: {shown}{more}.",
        expected="places below it",
        hint="Allow a folder with --artifacts FOLDER, or leave files out with --no-artifacts.",
    )


def _moved(version: ModelVersion, places: Mapping[str, str]) -> ModelVersion:
    """Return a version that names its files by their run, where they were a run's."""
    if version.model_id is not None or urlsplit(version.source).scheme in {"runs", "models"}:
        return version
    parts = version.source.rstrip("/").split("/")
    for end in range(len(parts), 0, -1):
        run_id = places.get("/".join(parts[:end]))
        if run_id is not None:
            source = "/".join([f"runs:/{run_id}", *parts[end:]])
            return msgspec.structs.replace(version, source=source)
    return version


def _registry_tally(registered: Sequence[SourceRegistered]) -> Tally:
    return Tally(
        models=len(registered),
        versions=sum(len(entry.versions) for entry in registered),
        aliases=sum(len(entry.model.aliases) for entry in registered),
    )


def _require_whole(imported: Imported) -> None:
    missing = imported.read.missing(imported.here)
    if missing:
        said = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in missing.items())
        raise Incomplete(
            f"{said} of {imported.source} did not arrive.",
            expected="as many here as there",
            hint="Was the source changed meanwhile? Run the import again: it only adds what lacks.",
        )
