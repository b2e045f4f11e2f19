"""Replays recorded requests through a candidate: what would it have said instead?

The rows are those that the endpoint really got, so the comparison needs no traffic, and labels only
to say who was right. It says how many answers change, by how much, and where: a candidate that is
better on the whole may still turn around everything for one carrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import from_micros
from tidemill.core.policy import BacktestPolicy
from tidemill.datasets.segments import frequent, values_of
from tidemill.models.records import Signature
from tidemill.predictions.reader import FEATURE
from tidemill.predictions.units import requests_of
from tidemill.serving.differences import Backtest, Changed, SegmentDifference
from tidemill.serving.evidence import Units
from tidemill.serving.recorded import Recorded, batches_of
from tidemill.serving.sandbox import Sandbox
from tidemill.serving.sequential import difference

Floats = NDArray[np.float64]
_BATCH = 1000
_FEWEST = 20
"""A segment with fewer rows is not reported apart."""
_MOST_SEGMENTS = 200
_EXAMPLES = 20
_NEAR = 0.01
"""Numbers change where they differ by more than this part of the answers' standard deviation."""
_TINY = 1e-15
_ROUNDING = 1e-12
"""What is as near is the same number, computed in another order: batches are summed otherwise."""


def backtest(
    frame: pl.DataFrame,
    sandbox: Sandbox,
    *,
    endpoint: str,
    candidate: str,
    limits: BacktestPolicy,
    segments: Sequence[str] = (),
) -> Backtest:
    """Replay recorded requests through a candidate.

    Args:
        frame: What was answered, and `label` where it is known what came true.
        sandbox: The candidate, started.
        endpoint: Whose requests.
        candidate: Which version.
        limits: How much may change.
        segments: Columns, or pairs of them, by whose values differences are reported apart.

    Raises:
        SandboxFailed: The candidate ended, or took too much.
    """
    said, scores, refusals = _replay(frame, sandbox)
    answered = [v is not None for v in said]
    kept = frame.filter(pl.Series(answered, dtype=pl.Boolean))
    found = _Answers(
        sandbox.signature,
        kept,
        [v for v in said if v is not None],
        [s for s, there in zip(scores, answered, strict=True) if there],
    )
    report = Backtest(
        endpoint=endpoint,
        candidate=candidate,
        since=_moment(frame["time"].min()),
        until=_moment(frame["time"].max()),
        rows=frame.height,
        requests=requests_of(frame["id"]).n_unique(),
        refused=frame.height - kept.height,
        refusal=refusals[0] if refusals else "",
        changed=_mean(found.changed),
        changed_interval=_interval(kept["id"], found.changed, 0.0, 1.0),
        mean_difference=_mean(found.differences),
        largest_difference=float(np.abs(found.differences).max(initial=0.0)),
        labelled=int(found.labelled.sum()),
        loss=_mean_or_none(found.losses),
        answered_loss=_mean_or_none(found.answered_losses),
        loss_interval=_interval(
            kept["id"].filter(pl.Series(found.labelled, dtype=pl.Boolean)),
            found.losses - found.answered_losses,
        ),
        segments=found.segments(segments),
        examples=found.examples(),
    )
    return msgspec.structs.replace(report, breaches=tuple(breaches(report, limits)))


def breaches(found: Backtest, limits: BacktestPolicy) -> list[str]:
    """Return what is over the limits, in sentences."""
    said = []
    refused = found.refused / found.rows if found.rows else 0.0
    if refused > limits.max_refused:
        said.append(
            f"{found.refused:,} of {found.rows:,} rows would be refused ({refused:.2%}; "
            f"{limits.max_refused:.2%} may): {found.refusal}"
        )
    if limits.max_changed is not None and found.changed > limits.max_changed:
        said.append(f"{found.changed:.2%} of the answers change; {limits.max_changed:.2%} may.")
    most = limits.max_mean_difference
    if most is not None and abs(found.mean_difference) > most:
        said.append(
            f"Scores or values differ by {found.mean_difference:+.4g} on average; {most:g} may be."
        )
    if limits.max_segment_changed is not None:
        said += [
            f"Where {s.column} is {s.value}, {s.changed:.2%} of {s.rows:,} answers change; "
            f"{limits.max_segment_changed:.2%} may."
            for s in found.segments
            if s.changed > limits.max_segment_changed
        ]
    if limits.tolerance is not None and found.loss_interval is not None:
        low = found.loss_interval[0]
        if low > limits.tolerance:
            said.append(
                f"The loss is larger than that of what was answered, by {low:.4f} at least; "
                f"{limits.tolerance:g} may be."
            )
    return said


class _Answers:
    """What a candidate says of rows that it answers, beside what was answered."""

    def __init__(
        self, signature: Signature, kept: pl.DataFrame, values: list[Any], scores: list[Any]
    ) -> None:
        self._kept = kept
        self._values = values
        regression = signature.task == "regression"
        said = kept["prediction"].to_list()
        self.differences = _differences(kept, values if regression else scores)
        if regression:
            spread = float(np.std([float(v) for v in said])) if said else 0.0
            self.changed = (np.abs(self.differences) > _NEAR * spread).astype(np.float64)
        else:
            pairs = zip(said, values, strict=True)
            self.changed = np.array([a != b for a, b in pairs], dtype=np.float64)
        labels = kept["label"].to_list() if "label" in kept.columns else [None] * kept.height
        self._labels = labels
        self.labelled = np.array([v is not None for v in labels], dtype=bool)
        known = [i for i, v in enumerate(labels) if v is not None]
        true = [labels[i] for i in known]
        old = said if regression else kept["score"].to_list()
        new = values if regression else scores
        self.answered_losses = _losses(signature, true, [old[i] for i in known])
        self.losses = _losses(signature, true, [new[i] for i in known])

    def segments(self, names: Sequence[str]) -> tuple[SegmentDifference, ...]:
        found = []
        for name in names:
            values = values_of(self._kept, name, prefix=FEATURE)
            if values is None:
                continue
            for value in frequent(values, _MOST_SEGMENTS):
                here = (values == value).to_numpy()
                if here.sum() >= _FEWEST:
                    found.append(self._segment(name, value, here))
        return tuple(sorted(found, key=lambda s: (-s.changed, -abs(s.mean_difference))))

    def _segment(self, column: str, value: str, here: NDArray[np.bool_]) -> SegmentDifference:
        labelled = here[self.labelled]
        return SegmentDifference(
            column=column,
            value=value,
            rows=int(here.sum()),
            changed=_mean(self.changed[here]),
            mean_difference=_mean(self.differences[here]),
            labelled=int(labelled.sum()),
            loss=_mean_or_none(self.losses[labelled]),
            answered_loss=_mean_or_none(self.answered_losses[labelled]),
        )

    def examples(self) -> tuple[Changed, ...]:
        most = np.argsort(-np.abs(self.differences), kind="stable")[:_EXAMPLES]
        ids, said = self._kept["id"], self._kept["prediction"]
        return tuple(
            Changed(
                prediction=ids[i],
                said=str(said[i]),
                says=str(self._values[i]),
                difference=float(self.differences[i]),
                label=None if self._labels[i] is None else str(self._labels[i]),
            )
            for i in most.tolist()
            if self.differences[i] != 0
        )


def _replay(frame: pl.DataFrame, sandbox: Sandbox) -> tuple[list[Any], list[Any], list[str]]:
    """Return what the candidate says; nothing for the rows that it refuses, and why it does."""
    values: list[Any] = []
    scores: list[Any] = []
    refusals: list[str] = []

    def answer(part: Recorded) -> None:
        reply = sandbox.ask(part)
        if reply.status == 200:
            values.extend(reply.values)
            scores.extend([None] * part.count if reply.scores is None else reply.scores)
        elif part.count == 1:
            values.append(None)
            scores.append(None)
            refusals.append(reply.message)
        else:
            for half in _halves(part):
                answer(half)

    for part in batches_of(frame, _BATCH):
        answer(part)
    return values, scores, refusals


def _halves(part: Recorded) -> tuple[Recorded, Recorded]:
    middle = part.count // 2
    first = {n: v[:middle] for n, v in part.columns.items()}
    second = {n: v[middle:] for n, v in part.columns.items()}
    return Recorded(first, middle), Recorded(second, part.count - middle)


def _differences(kept: pl.DataFrame, says: list[Any]) -> Floats:
    """Return by how much scores or values are larger; of many classes, the largest change."""
    if not says:
        return np.zeros(0)
    if isinstance(says[0], list):
        before = np.array(kept["score"].to_list(), dtype=np.float64)
        after = np.array(says, dtype=np.float64)
        if before.shape != after.shape:
            return np.ones(len(says))
        return np.asarray(np.abs(after - before).max(axis=1))
    name = "prediction" if kept["score"].null_count() == kept.height else "score"
    before = np.array(kept[name].to_list(), dtype=np.float64)
    found = np.array(says, dtype=np.float64) - before
    found[np.abs(found) <= _ROUNDING * np.maximum(np.abs(before), 1.0)] = 0.0
    return found


def _losses(signature: Signature, labels: list[Any], said: list[Any]) -> Floats:
    """Return log losses of classes, squared errors of numbers."""
    if not labels:
        return np.zeros(0)
    if signature.task == "regression":
        return np.asarray((np.array(said, float) - np.array(labels, float)) ** 2)
    if signature.task == "binary":
        yes = np.array([v == signature.positive for v in labels])
        chance = np.array(said, dtype=np.float64)
        chance = np.where(yes, chance, 1 - chance)
    else:
        place = {c: i for i, c in enumerate(signature.classes)}
        chance = np.array(
            [
                row[place[v]] if v in place and place[v] < len(row) else 0.0
                for v, row in zip(labels, said, strict=True)
            ]
        )
    return np.asarray(-np.log(np.clip(chance, _TINY, 1.0)))


def _interval(
    ids: pl.Series, values: Floats, low: float = -np.inf, high: float = np.inf
) -> tuple[float, float] | None:
    if not len(values):
        return None
    frame = pl.DataFrame({"unit": requests_of(ids), "value": values})
    sums = frame.group_by("unit").agg(pl.col("value").sum(), pl.len().alias("size")).sort("unit")
    sizes = sums["size"].cast(pl.Float64).to_numpy()
    found = difference(Units(sums["value"].to_numpy(), sizes), Units(np.zeros(len(sizes)), sizes))
    return None if found.unbounded else (max(found.low, low), min(found.high, high))


def _moment(value: Any) -> datetime | None:
    return None if value is None else from_micros(value)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _mean_or_none(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
