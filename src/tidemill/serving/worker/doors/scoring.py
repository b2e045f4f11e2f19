"""`/invocations`, `/ping` and `/version` as MLflow and SageMaker have them, and `:predict`.

JSON in all four forms (`dataframe_split`, `dataframe_records`, `instances`, `inputs`), CSV and
Parquet.

References:
    https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
    https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

import tidemill
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.serving.worker.doors.common import Reception, body_of, decode
from tidemill.serving.worker.http import (
    TEXT,
    HttpError,
    Request,
    Response,
    json_response,
)
from tidemill.serving.worker.plane import Answer, Ask, Plane
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.rows import Inputs, Rows, listed
from tidemill.serving.worker.version import Version

ENDPOINT = b"tidemill-endpoint"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_DECODER = msgspec.json.Decoder(dict[str, Any])
_ENCODER = msgspec.json.Encoder()
_CSV = "text/csv"
_PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")
_JSON = "application/json"
Table = Mapping[str, Any]


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
        content_type, _, _ = (request.header(b"content-type") or _JSON).partition(";")
        try:
            table = _read(content_type.strip().lower(), body_of(request))
        except HttpError as error:
            self._plane.refuse(name, error.status)
            raise
        return self._submit(request, name, table)

    def predict(self, request: Request, name: str) -> Reply:
        """Answer a request of KServe's first protocol.

        Raises:
            HttpError: It is refused; the message names the field.
        """
        try:
            content = decode(_DECODER, body_of(request))
            if "instances" not in content:
                raise HttpError(400, "The request has no `instances`. Expected a list of rows.")
        except HttpError as error:
            self._plane.refuse(name, error.status)
            raise
        return self._submit(request, name, {"instances": content["instances"]})

    def model(self, name: str) -> Response:
        """Say whether a model answers, in KServe's first protocol."""
        self._plane.table.endpoint(name)
        return json_response({"name": name, "ready": True})

    def _submit(self, request: Request, name: str, table: Table) -> Reply:
        caller = self._reception.caller(request)
        return self._plane.submit(
            Ask(
                endpoint=name,
                rows=partial(_rows, table),
                render=_render,
                version=caller.version,
                key=caller.key,
                request_id=caller.request_id,
                time=caller.time,
                arrived=request.arrived,
                deadline=caller.deadline,
            )
        )

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


def _read(content_type: str, body: bytes) -> Table:
    if content_type == _JSON:
        return _form(decode(_DECODER, body))
    if content_type == _CSV:
        return {"text": _csv(body)}
    if content_type in _PARQUET:
        return {"typed": _parquet(body)}
    raise HttpError(
        415,
        f"The content type {content_type!r} is not known. "
        f"Expected {_JSON}, {_CSV} or {_PARQUET[0]}.",
    )


def _form(content: dict[str, Any]) -> Table:
    forms = [name for name in FORMS if name in content]
    unknown = sorted(set(content) - {*FORMS, "params"})
    if len(forms) != 1 or unknown:
        raise HttpError(
            400,
            f"The request has the fields {sorted(content)}. "
            f"Expected exactly one of {', '.join(FORMS)}, and `params` if you like.",
        )
    return {forms[0]: content[forms[0]]}


def _csv(body: bytes) -> dict[str, list[str]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise HttpError(400, f"The body is no valid CSV: {error}.") from error
    if not lines:
        raise HttpError(400, "The CSV is empty. Expected a header and a row or more.")
    head, rows = lines[0], [line for line in lines[1:] if line]
    for number, line in enumerate(rows, 2):
        if len(line) != len(head):
            raise HttpError(
                400, f"Row {number} of the CSV has {len(line)} fields. Expected {len(head)}."
            )
    if len(set(head)) != len(head):
        raise HttpError(400, "The CSV names a column twice.")
    return {name: [line[i] for line in rows] for i, name in enumerate(head)}


def _parquet(body: bytes) -> dict[str, list[Any]]:
    # Imported by the first Parquet request: most workers never see one.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        buffer = pa.BufferReader(body)  # type: ignore[no-untyped-call,unused-ignore]
        table = pq.read_table(buffer)  # type: ignore[no-untyped-call,unused-ignore]
        columns: dict[str, list[Any]] = table.to_pydict()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise HttpError(400, f"The body is no valid Parquet: {error}.") from error
    return columns


def _rows(table: Table, version: Version) -> Rows:
    """Return the rows of any form."""
    ((form, content),) = table.items()
    inputs = version.inputs
    if form == "text":
        return inputs.rows({name: _parsed(v, name, inputs) for name, v in content.items()})
    return inputs.rows(_COLUMNS[form](content, inputs))


def _parsed(values: list[str], name: str, inputs: Inputs) -> Values:
    """Return the fields of a CSV as a column's type; an empty field is a missing value."""
    type_ = inputs.types.get(name, "string")
    try:
        if type_ == "bool":
            return [_TRUTH[v.lower()] for v in values]
        if type_ in {"int", "float"}:
            return [float(v) if v else None for v in values]
    except (KeyError, ValueError) as error:
        raise InvalidInput(
            f"Column {name!r}: {error.args[0]}.",
            column=name,
            expected="true or false" if type_ == "bool" else "numbers",
        ) from None
    return [v or None for v in values]


_TRUTH: dict[str, bool | None] = {
    "true": True,
    "1": True,
    "false": False,
    "0": False,
    "": None,
}


def _split(content: Any, _: Inputs) -> Table:
    if not isinstance(content, dict) or not isinstance(content.get("columns"), list):
        raise InvalidInput("`dataframe_split` has no list of `columns`.")
    names, data = content["columns"], content.get("data")
    if not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        raise InvalidInput("The `columns` of `dataframe_split` are not names, each once.")
    return _by_position(names, data, "`dataframe_split`")


def _records(content: Any, _: Inputs) -> Table:
    return _by_name(content, "`dataframe_records`")


def _instances(content: Any, inputs: Inputs) -> Table:
    if isinstance(content, list) and content and not isinstance(content[0], dict):
        rows = content if isinstance(content[0], list) else [[v] for v in content]
        return _by_position(inputs.names, rows, "`instances`")
    return _by_name(content, "`instances`")


def _inputs(content: Any, inputs: Inputs) -> Table:
    if isinstance(content, dict):
        return {n: v if isinstance(v, list) else [v] for n, v in content.items()}
    if isinstance(content, list) and content and not isinstance(content[0], list):
        content = [[v] for v in content]
    return _by_position(inputs.names, content, "`inputs`")


def _by_position(names: Any, data: Any, where: str) -> Table:
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise InvalidInput(f"The rows of {where} are not lists.", expected="a list of lists")
    for number, row in enumerate(data):
        if len(row) != len(names):
            raise InvalidInput(
                f"Row {number} of {where} has {len(row)} values.",
                expected=f"{len(names)}: {', '.join(names)}",
            )
    return {name: [row[i] for row in data] for i, name in enumerate(names)}


def _by_name(content: Any, where: str) -> Table:
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InvalidInput(f"The rows of {where} are not objects.", expected="a list of objects")
    names = dict.fromkeys(name for row in content for name in row)
    return {name: [row.get(name) for row in content] for name in names}


def _named(content: Any, _: Inputs) -> Table:
    table: Table = content
    return table


_COLUMNS: dict[str, Callable[[Any, Inputs], Table]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
    "typed": _named,
}


def _render(answer: Answer) -> Response:
    body = _ENCODER.encode({"predictions": listed(answer.outcome.values)})
    first = ((b"tidemill-prediction-id", answer.ids[0].encode()),)
    return Response(200, body, headers=first)
