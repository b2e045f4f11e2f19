"""What came true: labels by prediction id or by key, one or many, early, late, or corrected.

JSON, CSV or Parquet. What is answered is on disk, and says where a delivery contradicts itself.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from datetime import datetime

import msgspec

from tidemill.predictions.deliveries import (
    MOST_ROWS,
    fitting,
    label_row,
    label_rows,
    labels_of_text,
    said_of,
)
from tidemill.predictions.errors import BadLabels
from tidemill.predictions.records import LabelRow
from tidemill.serving.worker.columns import described
from tidemill.serving.worker.counting import Metrics
from tidemill.serving.worker.doors.common import Reception, check_no_form, decode
from tidemill.serving.worker.doors.tables import JSON, media_type, read_body
from tidemill.serving.worker.http import HttpError, Request, Response, json_response
from tidemill.serving.worker.log import Log
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.rows import listed
from tidemill.serving.worker.version import Version


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
        endpoint = self._plane.table.endpoint(name)
        check_no_form(request)
        version = endpoint.versions[endpoint.champion.version]
        kind = media_type(request.header(b"content-type") or JSON)
        rows = _rows(kind, self._reception.body(request), version)
        if len(rows) > MOST_ROWS:
            raise HttpError(413, f"There are more than {MOST_ROWS:,} labels. Send them in parts.")
        if endpoint.routes.redact:
            redaction = self._log.redactions.of(endpoint.routes.redact)
            keys = redaction.keys(version.inputs.key, [r.key for r in rows])
            rows = [
                msgspec.structs.replace(row, key=key)
                for row, key in zip(rows, keys or [r.key for r in rows], strict=True)
            ]
        if rows:
            writer = self._log.labels(name, self._reception.time(request), rows)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, writer.flush)
        self._metrics.count("tidemill_labels_total", (("endpoint", name),), len(rows))
        return json_response(said_of(rows))


def _rows(kind: str, body: bytes, version: Version) -> list[LabelRow]:
    """Return the labels of a body: JSON, CSV or Parquet.

    Raises:
        HttpError: A label cannot be taken; its row, value and what was expected are named.
    """
    answers = described(version).prediction
    try:
        if kind == JSON:
            delivery: LabelsIn = decode(_DECODER, body)
            given = enumerate(delivery.labels)
            said = [label_row(i, r.prediction_id, r.key, r.label, r.time) for i, r in given]
            return fitting(said, answers)
        form = read_body(kind, body)
        columns = {name: listed(values) for name, values in form.content.items()}
        if form.name == "csv":
            columns = {name: [v or None for v in values] for name, values in columns.items()}
            if "label" in columns:
                columns["label"] = labels_of_text(columns["label"], answers)
        return fitting(label_rows(columns), answers)
    except BadLabels as error:
        raise HttpError(400, str(error)) from error
