"""What goes through the letterbox: one record a request, one record a delivery of labels."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["champion", "canary", "shadow", "standby"]
Status = Literal["ok", "error"]
Label = bool | int | float | str


class PredictionRecord(msgspec.Struct, frozen=True, array_like=True):
    """One answered request: as many rows as it had.

    Attributes:
        time: When it was answered, in microseconds since 1970.
        model: The model's name.
        version: The version that answered.
        role: Which part the version played.
        request_id: The caller's name for the request.
        latency_us: From the request's arrival to its answer.
        status: Whether it was answered.
        ids: The prediction's id, one a row.
        keys: The row's key, where the request had the contract's key column.
        features: By column, one value a row.
        predictions: One a row.
        scores: Binary: P(positive), one a row. Multiclass: probabilities, one list a row.
    """

    time: int
    model: str
    version: int
    role: Role
    request_id: str
    latency_us: int
    status: Status
    ids: list[str]
    keys: list[str | None] | None
    features: dict[str, list[Any]]
    predictions: list[Any]
    scores: list[Any] | None


class LabelRow(msgspec.Struct, frozen=True, array_like=True):
    """What came true for one prediction, named by its id or by its row's key.

    Attributes:
        label: What came true.
        prediction_id: Which prediction, if by id.
        key: Which row, if by key.
        time: When it came true, in microseconds since 1970, where known.
    """

    label: Label
    prediction_id: str | None = None
    key: str | None = None
    time: int | None = None


class LabelRecord(msgspec.Struct, frozen=True, array_like=True):
    """One delivery of labels.

    Attributes:
        arrived: When, in microseconds since 1970.
        rows: The labels.
    """

    arrived: int
    rows: list[LabelRow]


class Cursor(msgspec.Struct, frozen=True):
    """How far a reader came.

    Attributes:
        offsets: For each segment, the bytes that were read.
    """

    offsets: dict[str, int] = {}
