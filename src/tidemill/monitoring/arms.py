"""How the versions that share an endpoint's traffic fared, in sums by what was assigned whole.

Every request is given to a version by chance, or by its key. So requests and keys are what is
counted; the rows of one are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import select

from tidemill.core.clock import micros
from tidemill.models.records import Signature
from tidemill.monitoring import store
from tidemill.monitoring.answers import read_answers
from tidemill.monitoring.performance import arrays, class_positions, losses_of
from tidemill.monitoring.reference import Reference
from tidemill.predictions.units import requests_of, units_of
from tidemill.storage.db.engine import Database

Floats = NDArray[np.float64]
_MOST_USUAL = 20_000
_LEAST_USUAL = 200
_MOST_CLASSES = 20
_DECILES = tuple(i / 10 for i in range(1, 10))


class Sums(msgspec.Struct, frozen=True):
    """Sums by unit, and how many rows each unit has."""

    totals: Floats
    sizes: Floats


class Requests(msgspec.Struct, frozen=True):
    """The requests of one step: how long each took, in microseconds, and how many failed."""

    latencies_us: list[int]
    errors: int


class Cut(msgspec.Struct, frozen=True):
    """One way to divide all possible answers in two, fixed before they are given.

    Attributes:
        name: The part whose share is told, for people.
        label: The class that is in it, or nothing where answers are numbers.
        above: The number above which answers are in it.
    """

    name: str
    label: Any = None
    above: float = 0.0


class Arm(msgspec.Struct, frozen=True):
    """How one version fared.

    Attributes:
        requests: By step.
        losses: Of the labelled answers; nothing where none is.
        shares: How many answers are on the named side of each cut.
    """

    requests: tuple[Requests, ...]
    losses: Sums | None
    shares: tuple[Sums, ...]


class Arms:
    """Reads how versions fared on the traffic that each answered.

    Args:
        db: The database.
        signatures: Gives the signature of a model's version.
        references: Gives what was usual when a version was made, where it is known.
    """

    def __init__(
        self,
        db: Database,
        signatures: Callable[[str, int], Signature],
        references: Callable[[str, int], Reference | None],
    ) -> None:
        self._db = db
        self._signatures = signatures
        self._references = references

    def read(
        self,
        endpoint: str,
        model: str,
        version: int,
        *,
        steps: Sequence[datetime],
        cuts: Sequence[Cut] = (),
        metric: str | None = None,
    ) -> Arm:
        """Return how a version fared since a rollout began.

        Args:
            endpoint: Where.
            model: Of which model.
            version: Which.
            steps: When each step of the rollout began.
            cuts: How answers are told apart.
            metric: Whose loss is summed; the task's own where it is left out.
        """
        rows = self._rows(endpoint, version, since=micros(steps[0]))
        answered = rows.filter(pl.col("status") == "ok")
        signature = self._signatures(model, version)
        labelled = answered.filter(pl.col("label").is_not_null())
        losses = None
        if labelled.height:
            losses = sums_of(labelled["id"], row_losses(signature, labelled, metric))
        return Arm(
            _requests(rows, [micros(s) for s in steps]),
            losses,
            tuple(sums_of(answered["id"], _inside(signature, answered, cut)) for cut in cuts),
        )

    def usual_latency(self, endpoint: str, version: int, *, before: datetime) -> float | None:
        """Return the 99th percentile of a version's latency up to a moment, in milliseconds."""
        query = (
            select(store.rows.c.latency_us)
            .where(
                store.rows.c.endpoint == endpoint,
                store.rows.c.time < micros(before),
                store.rows.c.version == version,
                store.rows.c.role != "shadow",
                store.rows.c.status == "ok",
            )
            .order_by(store.rows.c.time.desc())
            .limit(_MOST_USUAL)
        )
        with self._db.read() as connection:
            found = list(connection.scalars(query))
        return None if len(found) < _LEAST_USUAL else float(np.quantile(found, 0.99)) / 1000

    def cuts(self, endpoint: str, model: str, version: int, *, before: datetime) -> list[Cut]:
        """Return how a version's answers are told apart, by what it answered before a moment.

        Its held-out rows say it best; then what it answered lately; probabilities need neither.
        """
        signature = self._signatures(model, version)
        if signature.task == "multiclass":
            named = signature.classes[:_MOST_CLASSES]
            return [Cut(f"answers of {c!r}", label=c) for c in named]
        known = self._known(endpoint, model, version, signature, before)
        what, edges = "values", np.zeros(0)
        if signature.task == "binary":
            what, edges = "scores", np.array(_DECILES)
        if len(known):
            edges = np.unique(np.quantile(known, _DECILES))
        return [Cut(f"{what} above {edge:.3g}", above=float(edge)) for edge in edges]

    def _known(
        self, endpoint: str, model: str, version: int, signature: Signature, before: datetime
    ) -> Floats:
        """Return what a version is known to have answered."""
        name = "score" if signature.task == "binary" else "prediction"
        reference = self._references(model, version)
        rows = None if reference is None else reference.holdout
        if rows is None or name not in rows.columns or not rows.height:
            rows = self._rows(endpoint, version, until=micros(before), newest=_MOST_USUAL)
            rows = rows.filter(pl.col("status") == "ok")
        known = rows[name].drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
        return known.to_numpy() if len(known) >= _LEAST_USUAL else np.zeros(0)

    def _rows(
        self,
        endpoint: str,
        version: int,
        *,
        since: int = 0,
        until: int = 2**62,
        newest: int | None = None,
    ) -> pl.DataFrame:
        """Return what a version answered, and no shadow of it."""
        rows = store.rows.c
        where = (rows.time >= since, rows.time < until, rows.version == version)
        with self._db.read() as connection:
            return read_answers(connection, endpoint, *where, rows.role != "shadow", newest=newest)


def row_losses(signature: Signature, rows: pl.DataFrame, metric: str | None) -> Floats:
    """Return each labelled row's loss, whose mean is what a metric tells."""
    if metric in {None, "log_loss"} or (metric == "rmse" and signature.task == "regression"):
        return losses_of(signature, rows)
    labels, predictions, scores = arrays(signature, rows)
    if signature.task == "regression":
        return np.abs(predictions.astype(np.float64) - labels.astype(np.float64))
    if metric == "accuracy" or scores is None:
        return np.asarray(labels != predictions, dtype=np.float64)
    if signature.task == "binary":
        yes = np.asarray(labels == signature.positive, dtype=np.float64)
        return np.asarray((scores - yes) ** 2)
    true = np.zeros_like(scores)
    known = class_positions(signature, labels)
    here = known >= 0
    true[np.flatnonzero(here), known[here]] = 1.0
    return np.asarray(((scores - true) ** 2).sum(axis=1))


def sums_of(ids: pl.Series, values: Floats) -> Sums:
    """Return sums by unit."""
    frame = pl.DataFrame({"unit": units_of(ids), "value": values})
    sums = frame.group_by("unit").agg(pl.col("value").sum(), pl.len().alias("size")).sort("unit")
    return Sums(sums["value"].to_numpy(), sums["size"].cast(pl.Float64).to_numpy())


def _inside(signature: Signature, rows: pl.DataFrame, cut: Cut) -> Floats:
    if cut.label is not None:
        return np.array([p == cut.label for p in rows["prediction"].to_list()], dtype=np.float64)
    answers = rows["score" if signature.task == "binary" else "prediction"]
    return (answers.cast(pl.Float64) > cut.above).cast(pl.Float64).to_numpy()


def _requests(rows: pl.DataFrame, steps: Sequence[int]) -> tuple[Requests, ...]:
    """Return the requests of each step; one that failed for any row has failed."""
    whole = (
        rows.with_columns(requests_of(rows["id"]).alias("request"))
        .group_by("request")
        .agg(
            pl.col("time").first(),
            pl.col("latency_us").max(),
            (pl.col("status") != "ok").any().alias("failed"),
        )
    )
    numbers = np.searchsorted(steps, whole["time"].to_numpy(), side="right") - 1
    found = []
    for number in range(len(steps)):
        mine = whole.filter(pl.Series(numbers == number, dtype=pl.Boolean))
        found.append(Requests(mine["latency_us"].to_list(), int(mine["failed"].sum())))
    return tuple(found)
