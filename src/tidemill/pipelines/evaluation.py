"""How good a bundle is on held-out rows, through the very graph or process that would serve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import SystemClock
from tidemill.datasets.segments import frequent, values_of
from tidemill.models.metrics import evaluate
from tidemill.models.records import Signature
from tidemill.models.runtime.opening import Answering, Surroundings, answering
from tidemill.pipelines.comparison import Answers
from tidemill.pipelines.records import Evaluation, Slice

MOST_SLICES = 20
LEAST_ROWS = 30
_CALLS = 300


def answers_of(
    bundle: Path, rows: pl.DataFrame, surroundings: Surroundings
) -> tuple[Answers, Signature]:
    """Return what a bundle says of rows, values outside the contract included."""
    with _opened(bundle, surroundings) as model:
        return _answers(model, rows), model.signature


def evaluate_bundle(
    bundle: Path,
    rows: pl.DataFrame,
    label: str,
    metrics: Sequence[str],
    segments: Sequence[str],
    surroundings: Surroundings,
) -> Evaluation:
    """Measure a bundle.

    Args:
        bundle: Its folder.
        rows: Held-out rows with the label.
        label: The label's column.
        metrics: Which metrics; all of the task's where it is empty.
        segments: Columns, or pairs of them, by whose values quality is reported apart.
        surroundings: What a model without a twin is run with.
    """
    with _opened(bundle, surroundings) as model:
        answers, signature = _answers(model, rows), model.signature
        p50, p99 = _latency(model, rows)
    labels = label_array(rows[label])
    return Evaluation(
        rows=rows.height,
        metrics=_metrics(signature, labels, answers, metrics),
        slices=tuple(slices_of(rows, segments, signature, labels, answers, metrics)),
        latency_p50_ms=p50,
        latency_p99_ms=p99,
    )


def label_array(labels: pl.Series) -> NDArray[Any]:
    """Return labels as an array that compares with a signature's classes."""
    if isinstance(labels.dtype, pl.String | pl.Categorical | pl.Enum):
        return np.array(labels.cast(pl.String).to_list(), dtype=object)
    return labels.to_numpy()


def _opened(bundle: Path, surroundings: Surroundings) -> AbstractContextManager[Answering]:
    return answering(bundle, surroundings, clock=SystemClock(), refuse_out_of_contract=False)


def _answers(model: Answering, rows: pl.DataFrame) -> Answers:
    said = model.predict({c.name: _values(rows[c.name]) for c in model.signature.features})
    return Answers(said.values, said.scores)


def _metrics(
    signature: Signature, labels: NDArray[Any], answers: Answers, names: Sequence[str]
) -> dict[str, float]:
    return evaluate(
        signature.task,
        labels,
        answers.values,
        answers.scores,
        classes=signature.classes,
        positive=signature.positive,
        names=names,
    )


def slices_of(
    rows: pl.DataFrame,
    segments: Sequence[str],
    signature: Signature,
    labels: NDArray[Any],
    answers: Answers,
    names: Sequence[str],
) -> list[Slice]:
    """Return quality apart for the most frequent values of each segment.

    Args:
        rows: Held-out rows.
        segments: Columns, or pairs of them.
        signature: Of the model.
        labels: What came true of the rows.
        answers: What the model says of them.
        names: Which metrics.
    """
    slices = []
    for segment in segments:
        values = values_of(rows, segment)
        if values is None:
            continue
        for value in frequent(values, MOST_SLICES):
            chosen = (values == value).to_numpy()
            if chosen.sum() < LEAST_ROWS:
                continue
            part = Answers(
                answers.values[chosen], None if answers.scores is None else answers.scores[chosen]
            )
            slices.append(
                Slice(
                    column=segment,
                    value=value,
                    rows=int(chosen.sum()),
                    metrics=_metrics(signature, labels[chosen], part, names),
                )
            )
    return slices


def _latency(model: Answering, rows: pl.DataFrame) -> tuple[float, float]:
    """Return the median and the 99th percentile of one-row predictions, in milliseconds."""
    names = [c.name for c in model.signature.features]
    columns = {name: _values(rows[name].head(_CALLS)) for name in names}
    one = [{n: v[i : i + 1] for n, v in columns.items()} for i in range(min(rows.height, _CALLS))]
    for row in one[:10]:
        model.predict(row)
    taken = []
    for i in range(_CALLS):
        # A duration that is measured is not a moment that is recorded: no clock is asked.
        start = time.perf_counter()
        model.predict(one[i % len(one)])
        taken.append(time.perf_counter() - start)
    p50, p99 = np.quantile(taken, [0.5, 0.99]) * 1000
    return float(p50), float(p99)


def _values(column: pl.Series) -> Any:
    if column.dtype.is_numeric() and column.null_count() == 0:
        return column.to_numpy()
    return column.to_list()
