"""What came true: labels by prediction id or by key, one or many, early, late, or corrected."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from datetime import UTC, datetime

import msgspec

from tidemill.core.clock import micros
from tidemill.predictions.records import LabelRow
from tidemill.serving.worker.doors.common import Reception, check_no_form, decode
from tidemill.serving.worker.http import HttpError, Request, Response, json_response
from tidemill.serving.worker.log import Log
from tidemill.serving.worker.metrics import Metrics
from tidemill.serving.worker.plane import Plane

_MOST = 100_000


class LabelIn(msgspec.Struct, forbid_unknown_fields=True):
    """One label as it is sent.

    Attributes:
        label: What came true.
        prediction_id: Which prediction it is about, by its id.
        key: Which row it is about, by its key.
        time: When it came true.
    """

    label: bool | int | float | str
    prediction_id: str | None = None
    key: str | int | None = None
    time: datetime | None = None


class LabelsIn(msgspec.Struct, forbid_unknown_fields=True):
    """A delivery of labels."""

    labels: list[LabelIn]


_DECODER = msgspec.json.Decoder(LabelsIn)


class LabelDoor:
    """The door.

    Args:
        plane: Knows the endpoints.
        reception: Says when a delivery arrived.
        log: Where labels go.
        metrics: What is counted.
        executor: Where the sync is waited for.
    """

    def __init__(
        self,
        plane: Plane,
        reception: Reception,
        log: Log,
        metrics: Metrics,
        executor: Executor,
    ) -> None:
        self._plane = plane
        self._reception = reception
        self._log = log
        self._metrics = metrics
        self._executor = executor

    async def take(self, request: Request, name: str) -> Response:
        """Take a delivery; the answer means that it is on disk.

        Raises:
            HttpError: A label names no prediction, or the endpoint is unknown.
        """
        self._plane.table.endpoint(name)
        check_no_form(request)
        delivery: LabelsIn = decode(_DECODER, self._reception.body(request))
        if len(delivery.labels) > _MOST:
            raise HttpError(413, f"There are more than {_MOST:,} labels. Send them in parts.")
        rows = [_row(i, label) for i, label in enumerate(delivery.labels)]
        if rows:
            writer = self._log.labels(name, self._reception.time(request), rows)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, writer.flush)
        self._metrics.count("tidemill_labels_total", (("endpoint", name),), len(rows))
        return json_response({"accepted": len(rows)})


def _row(index: int, label: LabelIn) -> LabelRow:
    if (label.prediction_id is None) == (label.key is None):
        raise HttpError(
            400, f"Label {index} names no prediction. Expected either `prediction_id` or `key`."
        )
    moment = label.time
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return LabelRow(
        label.label,
        label.prediction_id,
        None if label.key is None else str(label.key),
        None if moment is None else micros(moment),
    )
