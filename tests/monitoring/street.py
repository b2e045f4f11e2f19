"""A street of taxis: a small world whose laws are known, watched through the real letterbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tidemill.core.clock import micros
from tidemill.core.contract import Column
from tidemill.core.ids import Ids
from tidemill.core.tasks import Task
from tidemill.models.metrics import evaluate
from tidemill.models.records import Signature
from tidemill.monitoring.reference import Reference
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder

START = datetime(2013, 2, 1, tzinfo=UTC)
FEATURES = (
    Column(name="rain", type="float"),
    Column(name="hour", type="int"),
    Column(name="area", type="string"),
    Column(name="time", type="float"),  # a name that the monitor uses too
)
SIGNATURES: dict[Task, Signature] = {
    "binary": Signature(
        features=FEATURES, task="binary", classes=(False, True), positive=True, threshold=0.5
    ),
    "multiclass": Signature(
        features=FEATURES, task="multiclass", classes=("early", "late", "never")
    ),
    "regression": Signature(features=FEATURES, task="regression"),
}


def rides(
    rng: np.random.Generator,
    days: int,
    *,
    task: Task = "binary",
    rain: float = 0.0,
    law: float = 1.0,
    rows: int = 120,
    start: datetime = START,
) -> pl.DataFrame:
    """Return rides with what a model that knows the usual law says of them.

    Args:
        rng: Where chance comes from.
        days: How many.
        task: What is predicted.
        rain: By how much it rains more than usual: a shift of the inputs.
        law: How rain makes taxis late: 1 is what the model learned.
        rows: The rides of a day.
        start: The first day.
    """
    day = np.repeat(np.arange(days), rows)
    count = days * rows
    wet = rng.normal(size=days)[day] * 0.3 + rng.normal(size=count) + rain
    hour = rng.integers(0, 24, count)
    area = rng.choice(["north", "south"], count)
    believed, true = _chance(wet, hour), _chance(wet * law, hour)
    frame = pl.DataFrame(
        {
            "moment": [
                start + timedelta(days=int(d), seconds=int(s))
                for d, s in zip(day, rng.integers(0, 86_400, count), strict=True)
            ],
            "rain": wet,
            "hour": hour,
            "area": area,
            "time": rng.normal(size=count),
        }
    )
    late = rng.random(count) < true
    if task == "binary":
        answers: dict[str, Any] = {"prediction": believed >= 0.5, "score": believed, "truth": late}
    elif task == "multiclass":
        scores = np.column_stack([1 - believed, believed * 0.7, believed * 0.3])
        never = rng.random(count) < 0.3
        names = np.array(["early", "late", "never"])
        answers = {
            "prediction": names[scores.argmax(axis=1)],
            "score": scores.tolist(),
            "truth": np.where(late, np.where(never, "never", "late"), "early"),
        }
    else:
        noise = rng.normal(size=count) * (1 + hour / 12)
        answers = {"prediction": 10 + 2 * wet, "truth": 10 + 2 * wet * law + noise}
    return frame.with_columns(**{k: pl.Series(v) for k, v in answers.items()}).sort("moment")


def reference_of(history: pl.DataFrame, task: Task = "binary", held: int = 10) -> Reference:
    """Return what the bundle of a model would carry: all rows, the last days judged."""
    turn = history["moment"].max() - timedelta(days=held)  # type: ignore[operator]
    holdout = pl.col("moment") > turn
    judged = history.filter(holdout)
    scores = judged["score"].to_list() if "score" in judged.columns else None
    signature = SIGNATURES[task]
    answers = [c for c in ("prediction", "score") if c in history.columns]
    held_out = pl.col("ride_moment") > turn
    rows = history.rename({"moment": "ride_moment"}).with_columns(
        *(pl.when(held_out).then(pl.col(c)).alias(c) for c in answers),
        split=pl.when(held_out).then(pl.lit("holdout")).otherwise(pl.lit("train")),
    )
    metrics = evaluate(
        task,
        judged["truth"].to_numpy(),
        judged["prediction"].to_numpy(),
        None if scores is None else np.array(scores),
        classes=signature.classes,
        positive=signature.positive,
    )
    return Reference(signature, rows, "truth", "ride_moment", metrics)


class Letterbox:
    """Puts rides and their truth into the real letterbox."""

    def __init__(self, folder: Path, ids: Ids) -> None:
        self._ids = ids
        self._predictions = RecordWriter(predictions_folder(folder, "taxis"), ids)
        self._labels = RecordWriter(labels_folder(folder, "taxis"), ids)

    def answer(self, rows: pl.DataFrame, *, version: int = 1, **fields: Any) -> list[str]:
        """Write one record a ride; return the predictions' ids."""
        made = []
        for row in rows.iter_rows(named=True):
            identifier = self._ids.new()
            made.append(identifier)
            record = PredictionRecord(
                time=micros(row["moment"]),
                model="taxi",
                version=version,
                role=fields.get("role", "champion"),
                request_id="r",
                latency_us=fields.get("latency_us", 200),
                status=fields.get("status", "ok"),
                ids=[identifier],
                keys=[f"ride-{identifier}"],
                features={c.name: [row[c.name]] for c in FEATURES if c.name in row},
                predictions=[row["prediction"]],
                scores=[row["score"]] if "score" in row else None,
            )
            self._predictions.append(record)
        self._predictions.flush()
        return made

    def label(
        self, ids: Sequence[str], truth: Sequence[Any], arrived: datetime, *, by: str = "id"
    ) -> None:
        """Write one delivery of labels."""
        rows = [
            LabelRow(label=t, prediction_id=i) if by == "id" else LabelRow(label=t, key=f"ride-{i}")
            for i, t in zip(ids, truth, strict=True)
        ]
        self._labels.append(LabelRecord(arrived=micros(arrived), rows=rows))
        self._labels.flush()

    def close(self) -> None:
        self._predictions.close()
        self._labels.close()


def _chance(wet: Any, hour: Any) -> Any:
    return 1 / (1 + np.exp(-(1.2 * wet + (hour - 12) / 8 - 0.5)))
