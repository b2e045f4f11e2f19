"""What the prediction log is told of answers, and how those of many requests become one record.

A request pays for one small object; columns are made of many of these at once, by the log's writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from tidemill.models.inputs import Values
from tidemill.predictions.groups import PredictionGroup
from tidemill.predictions.records import Role, Status
from tidemill.serving.worker.features import features_of
from tidemill.serving.worker.redaction import Redaction
from tidemill.serving.worker.rows import Inputs, Rows


class Subject(msgspec.Struct, frozen=True, eq=False):
    """What the answers of one version at one endpoint share.

    Attributes:
        model: The model's name.
        version: The version.
        role: Which part it plays.
        weight: How many requests one that is logged stands for.
        inputs: What the version takes.
        redaction: What of a request reaches the log; nothing where all of it does.
    """

    model: str
    version: int
    role: Role
    weight: float
    inputs: Inputs
    redaction: Redaction | None


class Entry(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One answered request; the attributes are those of a `PredictionRecord`."""

    subject: Subject
    status: Status
    time: int
    request_id: str
    latency_us: int
    ids: list[str]
    rows: Rows
    predictions: Values
    scores: Values | None
    arrived: int
    trace: str


def bind(entries: Sequence[Entry]) -> list[PredictionGroup]:
    """Return what was gathered as records, in its order as far as they share what they must."""
    groups: dict[tuple[int, Status, bool], list[Entry]] = {}
    for entry in entries:
        alike = (id(entry.subject), entry.status, bool(entry.rows.columns))
        groups.setdefault(alike, []).append(entry)
    return [_group(alike) for alike in groups.values()]


def _group(entries: list[Entry]) -> PredictionGroup:
    subject, status = entries[0].subject, entries[0].status
    rows = [e.rows for e in entries]
    features: dict[str, Any] = features_of(rows, subject.inputs)
    keys = _keys(rows)
    redacted: dict[str, list[str | None]] = {}
    if subject.redaction is not None:
        features, redacted = subject.redaction.parted(features)
        keys = subject.redaction.keys(subject.inputs.key, keys)
    scores = [e.scores for e in entries if e.scores is not None]
    return PredictionGroup(
        subject.model,
        subject.version,
        subject.role,
        status,
        subject.weight,
        [] if all(r.count == 1 for r in rows) else [r.count for r in rows],
        [e.time for e in entries],
        [e.request_id for e in entries],
        [e.latency_us for e in entries],
        _joined([e.ids for e in entries]),
        keys,
        features,
        _joined([e.predictions for e in entries]),
        _joined(scores) if scores else None,
        [e.arrived for e in entries] if any(e.arrived for e in entries) else [],
        [e.trace for e in entries] if any(e.trace for e in entries) else [],
        redacted,
    )


def _joined(parts: list[Any]) -> Any:
    """Return the values of all: what is together with others has few, in lists."""
    return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))


def _keys(rows: Sequence[Rows]) -> list[str | None] | None:
    if all(r.keys is None for r in rows):
        return None
    return [key for r in rows for key in r.keys or [None] * r.count]
