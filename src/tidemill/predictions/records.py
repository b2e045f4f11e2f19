"""What goes through the letterbox: one record a request, one record a delivery of labels."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tidemill.core.contract import ColumnType

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
        features: By column, one value a row: a list, or an array of numbers, which is written as
            it lies in memory; lists when they are read. So are predictions and scores.
        predictions: One a row.
        scores: Binary: P(positive), one a row. Multiclass: probabilities, one list a row.
        arrived: When it came by the worker's own clock; 0 where that is `time`, which a replay may
            set by a header.
        weight: How many requests it stands for: 10 where one in ten is logged.
        trace: The W3C trace that the request belongs to.
        redacted: Columns that reach the log only hashed or cut, by name, one value a row.
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
    features: dict[str, Any]
    predictions: Any
    scores: Any
    arrived: int = 0
    weight: float = 1.0
    trace: str = ""
    redacted: dict[str, list[Any]] = {}


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """The types of a version's columns, by its contract; written once, beside the log.

    Attributes:
        model: The model's name.
        version: Its number.
        features: The type of every feature.
        prediction: The type of what it answers.
    """

    model: str
    version: int
    features: dict[str, ColumnType]
    prediction: ColumnType | None = None


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


class ShadowExample(msgspec.Struct, frozen=True, kw_only=True):
    """One row that the champion and a shadow answered differently.

    Attributes:
        prediction: The id of the answer that was given.
        mirrored: The id of the shadow's.
        said: What was answered.
        mirrored_said: What the shadow said.
        difference: By how much its score or value is larger.
    """

    prediction: str
    mirrored: str
    said: str
    mirrored_said: str
    difference: float


class Cursor(msgspec.Struct, frozen=True):
    """How far a reader came.

    Attributes:
        offsets: For each segment, the bytes that were read.
        compacted: The newest unit of Parquet files that was read; what it holds of a segment in
            `offsets` was read up to there before.
    """

    offsets: dict[str, int] = {}
    compacted: int = 0
