"""`/invocations`, `/ping` and `/version` as MLflow and SageMaker have them, and `:predict`.

JSON in all four forms (`dataframe_split`, `dataframe_records`, `instances`, `inputs`), CSV and
Parquet.

References:
    https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
    https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from __future__ import annotations

from typing import Any

import msgspec

import tidemill
from tidemill.predictions.identity import first_of
from tidemill.serving.worker.asks import Answer
from tidemill.serving.worker.doors.common import Reception, check_no_form, decode
from tidemill.serving.worker.doors.tables import JSON, Form, media_type, read_body, rows_of
from tidemill.serving.worker.http import (
    TEXT,
    HttpError,
    Request,
    Response,
    json_response,
)
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.rows import Rows, listed
from tidemill.serving.worker.version import Version

ENDPOINT = b"tidemill-endpoint"
_DECODER = msgspec.json.Decoder(dict[str, Any])
_ENCODER = msgspec.json.Encoder()


class Scoring:
    """The door.

    Args:
        plane: Answers.
        reception: Reads callers off their headers.
    """

    def __init__(self, plane: Plane, reception: Reception) -> None:
        self._plane = plane
        self._reception = reception

    def ping(self) -> Response:
        """Say whether any model answers."""
        served = bool(self._plane.table.endpoints)
        return Response(200 if served else 404, b"\n", TEXT)

    def version(self) -> Response:
        """Say which version of the server this is."""
        return Response(200, tidemill.__version__.encode(), TEXT)

    def invoke(self, request: Request, name: str | None = None) -> Reply:
        """Answer a scoring request.

        Raises:
            HttpError: It is refused; the message names the field.
        """
        name = name or self._only(request)
        try:
            kind = media_type(request.header(b"content-type") or JSON)
            form = read_body(kind, self._reception.body(request))
        except HttpError as error:
            self._plane.refuse(name, error.status)
            raise
        return self._submit(request, name, form)

    def predict(self, request: Request, name: str) -> Reply:
        """Answer a request of KServe's first protocol.

        Raises:
            HttpError: It is refused; the message names the field.
        """
        try:
            check_no_form(request)
            content = decode(_DECODER, self._reception.body(request))
            if "instances" not in content:
                raise HttpError(400, "The request has no `instances`. Expected a list of rows.")
        except HttpError as error:
            self._plane.refuse(name, error.status)
            raise
        return self._submit(request, name, Form("instances", content["instances"]))

    def model(self, name: str) -> Response:
        """Say whether a model answers, in KServe's first protocol."""
        self._plane.table.endpoint(name)
        return json_response({"name": name, "ready": True})

    def _submit(self, request: Request, name: str, form: Form) -> Reply:
        return self._plane.submit(self._reception.ask(request, name, _Scored(form)))

    def _only(self, request: Request) -> str:
        named = request.header(ENDPOINT)
        if named is not None:
            return named
        names = list(self._plane.table.endpoints)
        if len(names) != 1:
            raise HttpError(
                400 if names else 404,
                f"There are {len(names)} endpoints. Name one: POST /invocations/NAME.",
            )
        return names[0]


class _Scored:
    """The content of a request."""

    __slots__ = ("_form",)

    def __init__(self, form: Form) -> None:
        self._form = form

    def rows(self, version: Version) -> Rows:
        return rows_of(self._form, version)

    def render(self, answer: Answer) -> Response:
        body = _ENCODER.encode({"predictions": listed(answer.outcome.values)})
        first = ((b"tidemill-prediction-id", first_of(answer.ids).encode()),)
        return Response(200, body, headers=first)
