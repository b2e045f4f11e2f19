"""Requests of one version that are written together: what they share once, then each as it came.

Part of the hot path. A request's numbers stand there as the bytes in which they came; whoever
reads them makes columns of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from tidemill.core.contract import ColumnType
from tidemill.predictions.identity import numbered
from tidemill.predictions.records import PredictionRecord, Role, Status

_KINDS: Mapping[str, type[bool | int | float]] = {"bool": bool, "int": int}
_END = 1 << 63
_WIDTHS = {4: "<f4", 8: "<f8"}


class LoggedRequest(msgspec.Struct, frozen=True, array_like=True, eq=False, gc=False):
    """One answered request, as far as others of its version do not share it.

    Attributes:
        time: As a `PredictionRecord` has it. So are the request's id, latency and status, its keys,
            predictions and scores, and when it arrived.
        id: Of its first row; those of the others are numbered on from it.
        count: How many rows it had.
        request_id: The caller's name for it.
        latency_us: From its arrival to its answer.
        status: Whether it was answered.
        predictions: Nothing where it was not answered.
        scores: As of a record.
        arrived: When it came by the worker's own clock.
        trace: The trace that it belongs to.
        numbers: Its features row by row, little-endian, where they are plain numbers: 8 bytes each,
            or 4 if they came so; NaN stands for a missing one.
        columns: Its features in the order of the names otherwise, one value a row each.
        keys: Nothing where it had no key column.
        redacted: What is left of redacted columns, in the order of their names.
    """

    time: int
    id: str
    count: int
    request_id: str
    latency_us: int
    status: Status
    predictions: Any
    scores: Any
    arrived: int
    trace: str
    numbers: Any = None  # Bytes when read; a view of an array may be written, too.
    columns: Sequence[Any] | None = None
    keys: list[str | None] | None = None
    redacted: Sequence[Any] | None = None


class RequestGroup(msgspec.Struct, frozen=True, array_like=True, tag="requests"):
    """Requests of one version in one role, in the order of their answers.

    Attributes:
        model: The model's name.
        version: The version that answered.
        role: Which part the version played.
        weight: How many requests each of them stands for.
        names: Of the features that are logged.
        types: Of these features, by which numbers get back the form that they had.
        redacted: The names of columns that reach the log only hashed or cut.
        batches: The requests, those together that were handed over together.
    """

    model: str
    version: int
    role: Role
    weight: float
    names: list[str]
    types: list[ColumnType]
    redacted: list[str]
    batches: list[list[LoggedRequest]]

    def records(self) -> list[PredictionRecord]:
        """Return the requests one by one, with lists for arrays.

        Raises:
            ValueError: The parts do not fit each other.
        """
        return [self._record(request) for batch in self.batches for request in batch]

    def _record(self, request: LoggedRequest) -> PredictionRecord:
        return PredictionRecord(
            request.time,
            self.model,
            self.version,
            self.role,
            request.request_id,
            request.latency_us,
            request.status,
            numbered(request.id, request.count).split(","),
            request.keys,
            self._features(request),
            request.predictions,
            request.scores,
            request.arrived,
            self.weight,
            request.trace,
            dict(zip(self.redacted, request.redacted or (), strict=True)),
        )

    def _features(self, request: LoggedRequest) -> dict[str, list[Any]]:
        if request.numbers is None:
            return dict(zip(self.names, request.columns or (), strict=True))
        matrix = _matrix(request.numbers, request.count, len(self.names))
        columns: list[list[Any]] = matrix.T.tolist()
        if np.isnan(matrix).any() or not _KINDS.keys().isdisjoint(self.types):
            pairs = zip(columns, self.types, strict=True)
            columns = [restored(column, type_) for column, type_ in pairs]
        return dict(zip(self.names, columns, strict=True))


def narrowed(request: LoggedRequest) -> LoggedRequest:
    """Return a request with floats for whole numbers that 64 bits do not hold.

    A column of floats may be sent such: JSON from a browser has 1e20 as 100000000000000000000.
    """
    columns = request.columns or ()
    return replace(request, columns=[[_narrow(v) for v in values] for values in columns])


def _narrow(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not -_END <= value < _END else value


def restored(column: list[float], type_: str) -> list[Any]:
    """Return a column of a matrix with the values as they were: NaN stood for a missing one.

    Example:
        >>> restored([1.0, float("nan")], "int")
        [1, None]
    """
    kind = _KINDS.get(type_, float)
    return [None if value != value else kind(value) for value in column]  # noqa: PLR0124


def _matrix(numbers: bytes, rows: int, width: int) -> NDArray[Any]:
    each, rest = divmod(len(numbers), max(rows * width, 1))
    if rest or each not in _WIDTHS:
        raise ValueError(f"{len(numbers)} bytes are no {rows} rows of {width} numbers")
    return np.frombuffer(numbers, _WIDTHS[each]).reshape(rows, width)
