"""MLflow's folder `mlruns`: a YAML file for everything, and a text file for every metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tidemill.exchange.errors import ArtifactsElsewhere, BadSource
from tidemill.exchange.mlflow import values
from tidemill.exchange.mlflow.places import Places
from tidemill.exchange.mlflow.records import SourceFile, SourceModel, SourceRegistered, SourceRun
from tidemill.registry.records import Model, ModelVersion
from tidemill.tracking.records import (
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelLink,
    ModelMetric,
    Run,
    RunLinks,
)

AT_ONCE = 200
LARGEST = 8 << 20
"""Bytes of a file that describes something; MLflow's own are a few hundred."""
_META = "meta.yaml"
_TRASH = ".trash"
_REGISTRY = "models"
Row = dict[str, Any]


class FolderSource:
    """A folder of MLflow's file store.

    Links in it are not followed, whether they name files or folders.

    Args:
        path: The folder, such as `mlruns`.
        artifacts: Folders that artifacts may be read from, beside this one.

    Raises:
        BadSource: It holds no experiment.
    """

    def __init__(self, path: Path, *, artifacts: Sequence[Path] = ()) -> None:
        self.name = str(path)
        self._path = path.absolute()
        self._places = Places(self._path, artifacts)
        self._homes = [
            folder
            for parent in (self._path, self._path / _TRASH)
            for folder in _folders(parent)
            if (folder / _META).is_file()
        ]
        if not self._homes:
            raise BadSource(
                f"The folder {path} holds no experiment of MLflow's.",
                expected="a folder such as mlruns, with a folder for each experiment in it",
            )

    @property
    def skipped(self) -> int:
        return self._places.skipped

    def close(self) -> None:
        """Nothing is held open."""

    def elsewhere(self) -> list[str]:
        missing: dict[str, None] = {}
        for owner in self._owners():
            try:
                self._folder_of(owner)
            except ArtifactsElsewhere:
                missing[owner.place] = None
        return list(missing)

    def experiments(self) -> list[Experiment]:
        return [_experiment(folder, _meta(folder)) for folder in self._homes]

    def count_runs(self) -> int:
        return sum(1 for _ in self._run_folders())

    def runs(self) -> Iterator[list[SourceRun]]:
        yield from _batches(_run(folder) for folder in self._run_folders())

    def points(self, run: SourceRun) -> Iterator[list[Metric]]:
        for home in self._homes:
            folder = home / run.run.id / "metrics"
            for key, text in _entries(folder):
                known = {_point(key, line, folder) for line in text.splitlines() if line.strip()}
                yield sorted(known, key=lambda p: (p.step, p.timestamp, p.value))

    def models(self) -> Iterator[list[SourceModel]]:
        yield from _batches(
            _logged(folder)
            for home in self._homes
            for folder in _folders(home / "models")
            if (folder / _META).is_file()
        )

    def registered(self) -> Iterator[SourceRegistered]:
        for folder in _folders(self._path / _REGISTRY):
            if (folder / _META).is_file():
                yield _registered(folder)

    def files(self, owner: SourceRun | SourceModel) -> Iterator[SourceFile]:
        folder = self._folder_of(owner)
        return iter(()) if folder is None else self._places.files(folder)

    def _folder_of(self, owner: SourceRun | SourceModel) -> Path | None:
        """Find an owner's files; those of a deleted experiment lie in the trash with it."""
        name = owner.run.id if isinstance(owner, SourceRun) else f"models/{owner.model.id}"
        for home in self._homes:
            folder = home / name / "artifacts"
            if folder.is_dir() and not folder.is_symlink():
                return folder
        parts = 3 if isinstance(owner, SourceRun) else 4
        return self._places.find(owner.place, parts=parts) if owner.place else None

    def _owners(self) -> Iterator[SourceRun | SourceModel]:
        for runs in self.runs():
            yield from runs
        for models in self.models():
            yield from models

    def _run_folders(self) -> Iterator[Path]:
        for home in self._homes:
            for folder in _folders(home):
                if folder.name not in {"models", "datasets", "tags"} and (folder / _META).is_file():
                    yield folder


def _experiment(folder: Path, meta: Row) -> Experiment:
    deleted = folder.parent.name == _TRASH or meta.get("lifecycle_stage") == "deleted"
    updated = values.moment(meta.get("last_update_time"))
    return Experiment(
        id=str(_needed(meta, "experiment_id", folder)),
        name=str(_needed(meta, "name", folder)),
        created=values.moment(meta.get("creation_time")),
        updated=updated,
        lifecycle="deleted" if deleted else "active",
        deleted=updated if deleted else None,
        tags=dict(_entries(folder / "tags")),
    )


def _run(folder: Path) -> SourceRun:
    meta = _meta(folder)
    tags = dict(_entries(folder / "tags"))
    run_id = str(meta.get("run_id") or _needed(meta, "run_uuid", folder))
    stage = values.lifecycle(meta.get("lifecycle_stage"))
    if folder.parent.parent.name == _TRASH:
        stage = "deleted"
    gone = meta.get("deleted_time") or meta.get("end_time") or meta.get("start_time")
    run = Run(
        id=run_id,
        experiment_id=str(_needed(meta, "experiment_id", folder)),
        name=values.run_name(meta.get("run_name"), tags, run_id),
        status=values.run_status(meta.get("status")),
        started=values.moment(meta.get("start_time")),
        ended=values.maybe_moment(meta.get("end_time")),
        actor=values.actor(meta.get("user_id")),
        parent=tags.get(values.PARENT_TAG),
        lifecycle=stage,
        deleted=values.moment(gone) if stage == "deleted" else None,
        params=dict(_entries(folder / "params")),
        tags=tags,
    )
    return SourceRun(run=run, links=_links(folder), place=str(meta.get("artifact_uri") or ""))


def _links(folder: Path) -> RunLinks:
    datasets, read = [], []
    for edge in map(_meta, _folders(folder / "inputs")):
        if edge.get("source_type") == "DATASET":
            datasets.append(_dataset(folder.parent / "datasets", edge))
        else:
            read.append(ModelLink(str(edge.get("destination_id"))))
    outputs = (_meta(each) for each in _folders(folder / "outputs"))
    written = [ModelLink(str(o.get("destination_id")), int(o.get("step") or 0)) for o in outputs]
    return RunLinks(datasets=tuple(datasets), read=tuple(read), written=tuple(written))


def _dataset(folder: Path, edge: Row) -> DatasetInput:
    name = str(edge.get("source_id"))
    if "/" in name or name in {"", ".", ".."}:
        raise BadSource(f"{name[:100]!r} cannot name a dataset in {folder}.")
    meta = _meta(folder / name)
    texts = {field: str(meta.get(field) or "") for field in ("source", "schema", "profile")}
    return DatasetInput(
        name=str(meta.get("name")),
        digest=str(meta.get("digest")),
        source_type=str(meta.get("source_type") or ""),
        tags={str(key): str(value) for key, value in (edge.get("tags") or {}).items()},
        **texts,
    )


def _logged(folder: Path) -> SourceModel:
    meta = _meta(folder)
    stage = values.lifecycle(meta.get("lifecycle_stage"))
    updated = values.moment(meta.get("last_updated_timestamp"))
    name = str(_needed(meta, "model_id", folder))
    model = LoggedModel(
        id=name,
        experiment_id=str(_needed(meta, "experiment_id", folder)),
        name=str(meta.get("name") or name),
        run_id=str(meta.get("source_run_id") or ""),
        status=values.model_status(meta.get("status")),
        model_type=str(meta.get("model_type") or ""),
        created=values.moment(meta.get("creation_timestamp")),
        updated=updated,
        lifecycle=stage,
        deleted=updated if stage == "deleted" else None,
        params=dict(_entries(folder / "params")),
        tags=dict(_entries(folder / "tags")),
        metrics=tuple(_model_points(name, folder / "metrics")),
    )
    return SourceModel(model=model, place=str(meta.get("artifact_location") or ""))


def _model_points(model_id: str, folder: Path) -> Iterator[ModelMetric]:
    """Read lines of moment, value, step and run, with a dataset's name and digest after them."""
    for key, text in _entries(folder):
        for line in filter(str.strip, text.splitlines()):
            fields = [*line.split(" "), "", "", ""]
            point = _point(key, " ".join(fields[:3]), folder)
            yield ModelMetric(model_id, point, fields[3], fields[4], fields[5])


def _registered(folder: Path) -> SourceRegistered:
    meta = _meta(folder)
    name = str(_needed(meta, "name", folder))
    model = Model(
        name=name,
        created=values.moment(meta.get("creation_timestamp")),
        updated=values.moment(meta.get("last_updated_timestamp")),
        description=str(meta.get("description") or ""),
        tags=dict(_entries(folder / "tags")),
        aliases={alias: _number(text, folder) for alias, text in _entries(folder / "aliases")},
    )
    found = (_version(name, each) for each in _folders(folder) if each.name.startswith("version-"))
    versions = sorted((v for v in found if v is not None), key=lambda v: v.version)
    return SourceRegistered(model=model, versions=tuple(versions))


def _version(model: str, folder: Path) -> ModelVersion | None:
    meta = _meta(folder)
    if meta.get("current_stage") == values.DELETED_STAGE:
        return None
    source = str(meta.get("source") or "")
    return ModelVersion(
        model=model,
        version=_number(meta.get("version"), folder),
        source=source,
        model_id=str(meta.get("model_id") or "") or values.logged_model_of(source),
        run_id=str(meta.get("run_id") or "") or None,
        status=values.version_status(meta.get("status")),
        stage=values.stage(meta.get("current_stage")),
        created=values.moment(meta.get("creation_timestamp")),
        updated=values.moment(meta.get("last_updated_timestamp")),
        actor=values.actor(meta.get("user_id")),
        tags=dict(_entries(folder / "tags")),
        description=str(meta.get("description") or ""),
        run_link=str(meta.get("run_link") or ""),
    )


def _point(key: str, line: str, folder: Path) -> Metric:
    fields = line.split(" ")
    try:
        step = int(fields[2]) if len(fields) > 2 and fields[2] else 0
        value = float(fields[1])
        return Metric(key, math.nan if math.isnan(value) else value, int(fields[0]), step)
    except (ValueError, IndexError) as error:
        raise BadSource(
            f"A line of the metric {key!r} in {folder} is {line[:100]!r}.",
            expected="a moment, a value and a step",
        ) from error


def _number(text: Any, folder: Path) -> int:
    try:
        return int(str(text))
    except ValueError as error:
        raise BadSource(f"{str(text)[:100]!r} in {folder} is no version's number.") from error


def _entries(folder: Path) -> Iterator[tuple[str, str]]:
    """Go through a folder of small files by key; a key with slashes is a path."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), _text(path, most=1 << 30)


def _meta(folder: Path) -> Row:
    path = folder / _META
    try:
        found = yaml.load(_text(path), Loader=_LOADER)  # noqa: S506  # a safe loader, in C
    except yaml.YAMLError as error:
        raise BadSource(f"{path} is no YAML: {str(error)[:200]}.") from error
    if not isinstance(found, dict):
        raise BadSource(f"{path} is {type(found).__name__}.", expected="keys and values")
    return found


def _text(path: Path, *, most: int = LARGEST) -> str:
    try:
        if path.is_symlink() or path.stat().st_size > most:
            raise BadSource(f"{path} is a link or larger than {most:,} bytes.")
        return path.read_bytes().decode()
    except OSError as error:
        raise BadSource(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadSource(f"{path} is no text: {error}.", expected="UTF-8") from error


def _needed(meta: Row, field: str, folder: Path) -> Any:
    if meta.get(field) is None:
        raise BadSource(f"{folder / _META} has no {field!r}.", expected="what MLflow writes there")
    return meta[field]


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir() or parent.is_symlink():
        return []
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.is_symlink())


def _batches(entries: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

if TYPE_CHECKING:
    from tidemill.exchange.mlflow.protocol import Source

    _CONFORMS: Source = FolderSource(Path())
