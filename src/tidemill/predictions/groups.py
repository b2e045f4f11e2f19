"""Requests of one version that were written together, as they stand in segments of earlier days.

They are read here and written no more: `requests.py` has what took their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from tidemill.predictions.records import PredictionRecord, Role, Status


class PredictionGroup(msgspec.Struct, frozen=True, array_like=True, tag="group"):
    """Requests of one version in one role that fared alike, in the order of their answers.

    Attributes:
        model: The model's name.
        version: The version that answered.
        role: Which part the version played.
        status: Whether they were answered.
        weight: How many requests each of them stands for.
        counts: How many rows each of them had; nothing where all had one.
        times: As a `PredictionRecord` has it, one a request. So are the next two, and after the
            scores `arrived` and `traces`, which are left out where no request has any.
        request_ids: The callers' names for them.
        latencies_us: From their arrival to their answer.
        ids: One a row, request by request. So are keys, features, predictions, scores and what is
            redacted, each as a `PredictionRecord` has it.
        keys: Nothing where no request has the key column.
        features: By column.
        predictions: Nothing where they were not answered.
        scores: As of a record.
        arrived: When they came by the worker's own clock.
        traces: The traces that they belong to.
        redacted: Columns that reach the log only hashed or cut.
    """

    model: str
    version: int
    role: Role
    status: Status
    weight: float
    counts: list[int]
    times: list[int]
    request_ids: list[str]
    latencies_us: list[int]
    ids: list[str]
    keys: list[str | None] | None
    features: dict[str, Any]
    predictions: Any
    scores: Any
    arrived: list[int] = []
    traces: list[str] = []
    redacted: dict[str, list[Any]] = {}

    def records(self) -> list[PredictionRecord]:
        """Return the requests one by one, with lists for arrays.

        Raises:
            ValueError: The parts do not fit each other.
        """
        requests = len(self.times)
        bounds = list(accumulate(self.counts or [1] * requests, initial=0))
        if len(bounds) != requests + 1 or bounds[-1] != len(self.ids):
            raise ValueError("a group has not as many ids as it has rows")
        arrived, traces = self.arrived or [0] * requests, self.traces or [""] * requests
        told = zip(self.times, self.request_ids, self.latencies_us, arrived, traces, strict=True)
        return [
            PredictionRecord(
                time,
                self.model,
                self.version,
                self.role,
                request_id,
                latency,
                self.status,
                self.ids[start:end],
                _part(self.keys, start, end),
                _parts(self.features, start, end),
                self.predictions[start:end],
                _part(self.scores, start, end),
                came,
                self.weight,
                trace,
                _parts(self.redacted, start, end),
            )
            for (time, request_id, latency, came, trace), (start, end) in zip(
                told, pairwise(bounds), strict=True
            )
        ]


def _part(values: Sequence[Any] | None, start: int, end: int) -> Any:
    return None if values is None else values[start:end]


def _parts(columns: Mapping[str, Sequence[Any]], start: int, end: int) -> dict[str, Any]:
    return {name: values[start:end] for name, values in columns.items()}
