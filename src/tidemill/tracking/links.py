"""What runs read and wrote: datasets and logged models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from tidemill.tracking.records import (
    DatasetInput,
    DatasetSummary,
    ModelLink,
    RunDetail,
    RunLinks,
)
from tidemill.tracking.store import (
    inputs,
    inserting,
    links,
    owned,
    parts,
    read_newest,
    runs,
    runs_of,
)

CONTEXT = "mlflow.data.context"


def add_inputs(connection: Connection, run_id: str, read: Iterable[DatasetInput]) -> None:
    """Keep which datasets a run read, each once."""
    rows = [
        {"run_id": run_id, "context": entry.tags.get(CONTEXT)} | msgspec.structs.asdict(entry)
        for entry in read
    ]
    if rows:
        connection.execute(inserting(connection, inputs).on_conflict_do_nothing(), rows)


def add_links(connection: Connection, run_id: str, way: str, models: Iterable[ModelLink]) -> None:
    """Keep which models a run read (`in`) or wrote (`out`), each once."""
    rows = [
        {"run_id": run_id, "way": way, "model_id": link.model_id, "step": link.step}
        for link in models
    ]
    if rows:
        connection.execute(inserting(connection, links).on_conflict_do_nothing(), rows)


def read_links(connection: Connection, ids: Sequence[str]) -> dict[str, RunLinks]:
    """Return what some runs read and wrote, by run; those that did neither are left out."""
    datasets: dict[str, list[DatasetInput]] = {}
    models: dict[tuple[str, str], list[ModelLink]] = {}
    # Most runs read nothing that is told here.
    reading = sorted({row[0] for row in owned(connection, inputs, "run_id", "run_id", ids)})
    for part in parts(reading):
        for row in connection.execute(select(inputs).where(inputs.c.run_id.in_(part))):
            fields = {k: v for k, v in row._mapping.items() if k not in {"run_id", "context"}}
            datasets.setdefault(row.run_id, []).append(DatasetInput(**fields))
    for run_id, way, model_id, step in owned(
        connection, links, "run_id, way, model_id, step", "run_id", ids
    ):
        models.setdefault((run_id, way), []).append(ModelLink(model_id, step))
    return {
        run_id: RunLinks(
            datasets=tuple(datasets.get(run_id, ())),
            read=tuple(models.get((run_id, "in"), ())),
            written=tuple(models.get((run_id, "out"), ())),
        )
        for run_id in {*datasets, *(run_id for run_id, _ in models)}
    }


def read_summaries(
    connection: Connection, experiment_ids: Sequence[str], limit: int
) -> list[DatasetSummary]:
    """Return the datasets that runs of some experiments read, each once."""
    columns = (runs.c.experiment_id, inputs.c.name, inputs.c.digest, inputs.c.context)
    joined = inputs.join(runs, runs.c.id == inputs.c.run_id)
    query = select(*columns).select_from(joined).distinct().order_by(*columns).limit(limit)
    where = (runs.c.experiment_id.in_(list(experiment_ids)), runs.c.lifecycle == "active")
    return [DatasetSummary(**row._mapping) for row in connection.execute(query.where(*where))]


def read_details(connection: Connection, rows: Sequence[Row[Any]]) -> list[RunDetail]:
    """Return the runs of some rows with all that hangs on them."""
    ids = [row.id for row in rows]
    values, joined = read_newest(connection, ids), read_links(connection, ids)
    return [
        RunDetail(run, tuple(values.get(run.id, ())), joined.get(run.id, RunLinks()))
        for run in runs_of(connection, rows, values)
    ]
