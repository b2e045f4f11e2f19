"""From a record's payload to what it tells: a request, several, or a delivery of labels."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.predictions.groups import PredictionGroup
from tidemill.predictions.packing import unpacked
from tidemill.predictions.records import LabelRecord, PredictionRecord
from tidemill.predictions.requests import RequestGroup
from tidemill.predictions.segments import Kind

_GROUP = msgspec.msgpack.Decoder(RequestGroup | PredictionGroup, ext_hook=unpacked)
_REQUEST = msgspec.msgpack.Decoder(PredictionRecord, ext_hook=unpacked)
_DELIVERY = msgspec.msgpack.Decoder(LabelRecord)
_UNREADABLE = (msgspec.DecodeError, ValueError, TypeError)


def records_in(kind: Kind, payload: bytes) -> list[Any]:
    """Return what a payload tells, a request or a delivery each; nothing where that is no sense.

    Example:
        >>> records_in("predictions", b"noise")
        []
    """
    try:
        if kind == "labels":
            return [_DELIVERY.decode(payload)]
        return _predictions(payload)
    except _UNREADABLE:
        return []


def _predictions(payload: bytes) -> list[PredictionRecord]:
    try:
        group = _GROUP.decode(payload)
    except _UNREADABLE:  # A request that was written alone begins with its moment, not with a tag.
        return [_REQUEST.decode(payload)]
    found: list[PredictionRecord] = group.records()
    return found
