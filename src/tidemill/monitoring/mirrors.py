"""What a shadow said of requests, beside what the champion answered to the very same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import micros
from tidemill.models.records import Signature
from tidemill.monitoring import store
from tidemill.monitoring.answers import read_answers
from tidemill.monitoring.losses import Sums, row_losses, sums_of
from tidemill.predictions.records import ShadowExample
from tidemill.predictions.units import pairs_of, requests_of
from tidemill.storage.db.engine import Database

Floats = NDArray[np.float64]
MOST_ROWS = 50_000
"""So many of the newest rows are compared."""
_EXAMPLES = 20
_NEAR = 0.01
"""Numbers agree where they differ by no more than this part of the answers' standard deviation."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow's answers beside the champion's.

    Attributes:
        rows: How many rows both answered.
        requests: In how many requests.
        failed: How many requests the shadow failed at.
        agreed: Sums of agreement, 1 a row or 0.
        differences: Sums of the differences of scores or values.
        largest: The largest difference either way.
        losses: Sums of the shadow's loss less the champion's, where labels came.
        p99_ms: The shadow's 99th percentile of latency.
        champion_p99_ms: The champion's, on the same requests.
        examples: The rows that differ most.
    """

    rows: int
    requests: int
    failed: int
    agreed: Sums
    differences: Sums
    largest: float
    losses: Sums | None
    p99_ms: float
    champion_p99_ms: float
    examples: tuple[ShadowExample, ...]


class Mirrors:
    """Compares shadows with what was answered.

    Args:
        db: The database.
        signatures: Gives the signature of a model's version.
    """

    def __init__(self, db: Database, signatures: Callable[[str, int], Signature]) -> None:
        self._db = db
        self._signatures = signatures

    def compare(
        self, endpoint: str, model: str, version: int, *, since: datetime
    ) -> Compared | None:
        """Return how a shadow's answers compare with the champion's; nothing before the first.

        Args:
            endpoint: Where it is mirrored to.
            model: Of which model.
            version: Which.
            since: From when on.
        """
        rows = store.rows.c
        with self._db.read() as connection:
            mine = read_answers(
                connection,
                endpoint,
                rows.role == "shadow",
                rows.version == version,
                rows.time >= micros(since),
                newest=MOST_ROWS,
            )
            if not mine.height:
                return None
            begin: Any = mine["time"].min()
            theirs = read_answers(connection, endpoint, rows.role == "champion", rows.time >= begin)
        failed = mine.filter(pl.col("status") != "ok")
        paired = _paired(mine, theirs.filter(pl.col("status") == "ok"))
        if not paired.height:
            return None
        signature = self._signatures(model, version)
        differences = _differences(signature, paired)
        return Compared(
            rows=paired.height,
            requests=requests_of(paired["id"]).n_unique(),
            failed=requests_of(failed["id"]).n_unique(),
            agreed=sums_of(paired["id"], _agreed(signature, paired, differences)),
            differences=sums_of(paired["id"], differences),
            largest=float(np.abs(differences).max(initial=0.0)),
            losses=_losses(signature, paired),
            p99_ms=_p99(paired["latency_us"]),
            champion_p99_ms=_p99(paired["latency_us_said"]),
            examples=_examples(paired, differences),
        )


def _paired(mine: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    answered = mine.filter(pl.col("status") == "ok")
    left = answered.with_columns(pairs_of(answered["id"]).alias("pair"))
    right = theirs.with_columns(pairs_of(theirs["id"]).alias("pair"))
    return left.join(right, on="pair", how="inner", suffix="_said", maintain_order="left")


def _said(paired: pl.DataFrame) -> pl.DataFrame:
    """Return the champion's side under the names of the shadow's."""
    names = ("prediction", "score", "label")
    return paired.select(pl.col(f"{n}_said").alias(n) for n in names)


def _differences(signature: Signature, paired: pl.DataFrame) -> Floats:
    """Return by how much scores or values are larger; of many classes, the largest change."""
    if signature.task == "multiclass":
        before, after = (
            np.array(paired[n].to_list(), dtype=np.float64) for n in ("score_said", "score")
        )
        if before.shape != after.shape:
            return np.ones(paired.height)
        return np.asarray(np.abs(after - before).max(axis=1))
    name = "score" if signature.task == "binary" else "prediction"
    before, after = (paired[n].cast(pl.Float64).to_numpy() for n in (f"{name}_said", name))
    return np.asarray(after - before)


def _agreed(signature: Signature, paired: pl.DataFrame, differences: Floats) -> Floats:
    if signature.task == "regression":
        spread = float(paired["prediction_said"].cast(pl.Float64).to_numpy().std())
        return np.asarray(np.abs(differences) <= _NEAR * spread, dtype=np.float64)
    said, mirrored = paired["prediction_said"].to_list(), paired["prediction"].to_list()
    return np.array([a == b for a, b in zip(said, mirrored, strict=True)], dtype=np.float64)


def _losses(signature: Signature, paired: pl.DataFrame) -> Sums | None:
    """Return the sums of the differences of losses; a label of either side is one of the row."""
    label = pl.coalesce("label_said", "label")
    labelled = paired.with_columns(label.alias("label"), label.alias("label_said"))
    labelled = labelled.filter(pl.col("label").is_not_null())
    if not labelled.height:
        return None
    mine = row_losses(signature, labelled, None)
    return sums_of(labelled["id"], mine - row_losses(signature, _said(labelled), None))


def _p99(latencies: pl.Series) -> float:
    return float(np.quantile(latencies.to_numpy(), 0.99)) / 1000


def _examples(paired: pl.DataFrame, differences: Floats) -> tuple[ShadowExample, ...]:
    most = np.argsort(-np.abs(differences), kind="stable")[:_EXAMPLES]
    chosen = paired[most.tolist()]
    return tuple(
        ShadowExample(
            prediction=row["id_said"],
            mirrored=row["id"],
            said=str(row["prediction_said"]),
            mirrored_said=str(row["prediction"]),
            difference=float(differences[place]),
        )
        for place, row in zip(most.tolist(), chosen.iter_rows(named=True), strict=True)
        if differences[place] != 0
    )
