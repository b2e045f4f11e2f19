"""Finds single predictions: by id, or the newest.

An id begins with its moment, so the day's files come first; in a file the rows stand by id, so
that the statistics of its row groups leave one of them to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from tidemill.core.clock import micros
from tidemill.core.errors import nearest
from tidemill.core.ids import is_id, moment_of
from tidemill.predictions import archive
from tidemill.predictions.decoding import records_in
from tidemill.predictions.errors import PredictionNotFound, PredictionNotLogged
from tidemill.predictions.frames import read_frames
from tidemill.predictions.identity import shared_part
from tidemill.predictions.reader import records_of
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.sampling import is_unlogged
from tidemill.predictions.segments import endpoints, held_still, segments
from tidemill.predictions.tables import FEATURE, REDACTED


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One row of one record, as tracing shows it."""

    id: str
    endpoint: str
    record: PredictionRecord
    row: int

    @property
    def features(self) -> dict[str, Any]:
        """The values that the model saw; `NAME (redacted)` where the log has something else."""
        shown = {f"{n} (redacted)": v[self.row] for n, v in self.record.redacted.items()}
        return {n: v[self.row] for n, v in self.record.features.items()} | shown


def find_prediction(root: Path, identifier: str) -> Found:
    """Return the prediction of that id, whichever endpoint answered.

    A request's first prediction is also found by the trace that it belonged to, or by the name
    that its caller gave it.

    Raises:
        PredictionNotFound: There is none.
        PredictionNotLogged: There was one, which sampling left out of the log.
    """
    known = endpoints(root)
    for endpoint in known:
        with held_still(root, endpoint):
            found = _archived(root, endpoint, identifier) or _hot(root, endpoint, identifier)
        if found is not None:
            return found
    for endpoint in known:
        with held_still(root, endpoint):
            found = _called(root, endpoint, identifier)
        if found is not None:
            return found
    if is_unlogged(identifier):
        raise PredictionNotLogged(
            f"Prediction {identifier!r} was answered, but its id says that sampling left it out "
            "of the log.",
            expected="an id whose request was among the share that is logged",
            hint="Raise `log` in [models.NAME.serving] to log a larger share.",
        )
    raise PredictionNotFound(
        f"There is no prediction {identifier!r}.",
        expected="an id of 32 hexadecimal digits, as responses carry it, or a trace or request id",
        hint=f"Endpoints with predictions: {nearest('', known)}.",
    )


def latest_predictions(root: Path, endpoint: str, count: int = 10) -> list[str]:
    """Return the ids of the newest predictions, newest first."""
    if not (root / endpoint).is_dir():
        return []
    found: list[str] = []
    with held_still(root, endpoint):
        gone = archive.superseded(archive.read_progress(root, endpoint, "predictions"))
        for path in reversed(segments(root, endpoint, "predictions")):
            if path.name not in gone and len(found) < count:
                ids = [i for p in records_of(path, "predictions") for i in p.record.ids]
                found.extend(reversed(ids))
        for file in reversed(archive.archived(root, endpoint, "predictions")):
            if len(found) < count:
                ids = archive.table_in(file.path, ["id"])["id"].to_pylist()
                found.extend(reversed(ids))
    return found[:count]


def _hot(root: Path, endpoint: str, identifier: str) -> Found | None:
    # Of a request with many rows only the first id may be written out.
    for record in _hot_with(root, endpoint, shared_part(identifier)):
        if identifier in record.ids:
            row = record.ids.index(identifier)
            return Found(id=identifier, endpoint=endpoint, record=record, row=row)
    return None


def _hot_with(root: Path, endpoint: str, text: str) -> Iterator[PredictionRecord]:
    """Return the records of segments in which a text occurs, and those written with them."""
    gone = archive.superseded(archive.read_progress(root, endpoint, "predictions"))
    for path in reversed(segments(root, endpoint, "predictions")):
        if path.name in gone:
            continue
        for _, payload in read_frames(path):
            if text.encode() in payload:
                yield from records_in("predictions", payload)


def _archived(root: Path, endpoint: str, identifier: str) -> Found | None:
    files = archive.archived(root, endpoint, "predictions")
    return _in_files(_likely_first(files, identifier), endpoint, "id", identifier)


def _called(root: Path, endpoint: str, name: str) -> Found | None:
    """Return the first prediction of a request by its trace or by its caller's name for it."""
    for record in _hot_with(root, endpoint, name):
        if name in (record.trace, record.request_id) and record.ids:
            return Found(id=record.ids[0], endpoint=endpoint, record=record, row=0)
    files = archive.archived(root, endpoint, "predictions")
    found = _in_files(reversed(files), endpoint, "trace_id", name)
    return found or _in_files(reversed(files), endpoint, "request_id", name)


def _in_files(
    files: Iterable[archive.ArchivedFile], endpoint: str, column: str, value: str
) -> Found | None:
    for file in files:
        whole = pl.scan_parquet(file.path, hive_partitioning=False)
        for row in whole.filter(pl.col(column) == value).head(1).collect().iter_rows(named=True):
            return Found(id=row["id"], endpoint=endpoint, record=_record(row), row=0)
    return None


def _likely_first(
    files: list[archive.ArchivedFile], identifier: str
) -> Iterable[archive.ArchivedFile]:
    if not is_id(identifier):
        return files
    moment = moment_of(identifier)
    days = {f"{moment + timedelta(days=n):%Y-%m-%d}" for n in (0, 1)}
    return sorted(files, key=lambda f: f.day not in days)


def _record(row: dict[str, Any]) -> PredictionRecord:
    values = _together(row)
    scores = row["score"] if row["scores"] is None else row["scores"]
    return PredictionRecord(
        micros(row["time"]),
        row["model"],
        row["version"],
        row["role"],
        row["request_id"],
        row["latency_us"],
        row["status"],
        [row["id"]],
        [row["key"]],
        _below(values, FEATURE),
        [values.get("prediction")],
        None if scores is None else [scores],
        micros(row["arrival"]),
        row["weight"],
        row["trace_id"] or "",
        _below(values, REDACTED),
    )


def _together(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose values that stand beside their column are in it."""
    found = dict(row)
    for name, value in row.items():
        base, mark, _ = name.rpartition("~")
        if mark and base in row:
            del found[name]
            if value is not None:
                found[base] = value
    return found


def _below(row: dict[str, Any], prefix: str) -> dict[str, list[Any]]:
    return {n.removeprefix(prefix): [v] for n, v in row.items() if n.startswith(prefix)}
