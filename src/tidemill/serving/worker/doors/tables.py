"""A table of rows out of a scoring request: JSON in four forms, CSV, or Parquet.

References:
    https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.serving.worker.doors.common import decode
from tidemill.serving.worker.doors.parquet import read_parquet
from tidemill.serving.worker.http import HttpError
from tidemill.serving.worker.rows import Inputs, Rows
from tidemill.serving.worker.version import Version

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
JSON = "application/json"
CSV = "text/csv"
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")
Table = Mapping[str, Any]
_DECODER = msgspec.json.Decoder(dict[str, Any])


class Form(msgspec.Struct, frozen=True):
    """A table as it came, before it is known which columns a model takes.

    Attributes:
        name: One of `FORMS`, or `csv` or `parquet`.
        content: What came.
    """

    name: str
    content: Any


def media_type(header: str) -> str:
    """Return the media type of a content type; its charset may be UTF-8 and no other.

    Raises:
        HttpError: It is another.

    Example:
        >>> media_type("Text/CSV; charset=utf-8")
        'text/csv'
    """
    kind, *parameters = header.split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in ("utf-8", "utf8"):
            raise HttpError(415, f"The charset {value!r} is not known. Expected utf-8.")
    return kind.strip().lower()


def read_body(kind: str, body: bytes) -> Form:
    """Return the table of a body.

    Raises:
        HttpError: It is not what its content type says, or of a type that is not known.
    """
    if kind == JSON:
        return _form(_content(body))
    if kind == CSV:
        return Form("csv", _csv(body))
    if kind in PARQUET:
        return Form("parquet", read_parquet(body))
    raise HttpError(
        415,
        f"The content type {kind!r} is not known. Expected {JSON}, {CSV} or {PARQUET[0]}.",
    )


def rows_of(form: Form, version: Version) -> Rows:
    """Return a table as the rows of a version.

    Raises:
        InvalidInput: It has other columns than the version takes, or other values.
    """
    inputs = version.inputs
    return inputs.rows(_COLUMNS[form.name](form.content, inputs))


def _content(body: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = decode(_DECODER, body)
    except HttpError:
        lenient = _with_nan(body)
        if lenient is None:
            raise
        return lenient
    return found


def _with_nan(body: bytes) -> dict[str, Any] | None:
    """Read NaN as null, since MLflow's own client writes missing values so; nothing else."""
    if b"NaN" not in body or b"Infinity" in body:
        return None
    try:
        found = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _form(content: dict[str, Any]) -> Form:
    forms = [name for name in FORMS if name in content]
    unknown = sorted(set(content) - {*FORMS, "params"})
    if len(forms) != 1 or unknown:
        raise HttpError(
            400,
            f"The request has the fields {sorted(content)}. "
            f"Expected exactly one of {', '.join(FORMS)}, and `params` if you like.",
        )
    params = content.get("params")
    if params is not None and not isinstance(params, dict):
        raise HttpError(400, f"`params` is {params!r:.60}. Expected an object.")
    if params:
        raise HttpError(
            400,
            f"`params` has {', '.join(sorted(params))}, and the model takes no parameters. "
            "Expected none.",
        )
    return Form(forms[0], content[forms[0]])


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
        twice = next(name for name in head if head.count(name) > 1)
        raise HttpError(400, f"The CSV names the column {twice!r} twice.")
    return {name: [line[i] for line in rows] for i, name in enumerate(head)}


def _text(content: dict[str, list[str]], inputs: Inputs) -> Table:
    return {name: _parsed(values, name, inputs) for name, values in content.items()}


def _parsed(values: list[str], name: str, inputs: Inputs) -> Values:
    """Return the fields of a CSV as a column's type; an empty field is a missing value."""
    type_ = inputs.types.get(name, "string")
    if type_ == "bool":
        return [_truth(v, name) for v in values]
    if type_ in {"int", "float"}:
        return [_number(v, name) for v in values]
    return [v or None for v in values]


_TRUTH: dict[str, bool | None] = {
    "true": True,
    "1": True,
    "false": False,
    "0": False,
    "": None,
}
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""How a missing number is written by pandas, R, SQL and Python."""


def _truth(text: str, name: str) -> bool | None:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise _odd(text, name, "true or false") from None


def _number(text: str, name: str) -> float | None:
    if text.lower() in _MISSING:
        return None
    try:
        if "_" not in text:  # which Python takes for a part of a number, and nobody else does
            return float(text)
    except ValueError:
        raise _odd(text, name, "numbers") from None
    raise _odd(text, name, "numbers")


def _odd(text: str, name: str, expected: str) -> InvalidInput:
    shown = text if len(text) <= 60 else text[:57] + "…"
    return InvalidInput(f"Column {name!r} holds {shown!r}.", column=name, expected=expected)


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
    _check_any(data)
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
    _check_any(content)
    names = dict.fromkeys(name for row in content for name in row)
    return {name: [row.get(name) for row in content] for name in names}


def _check_any(rows: list[Any]) -> None:
    if not rows:
        raise InvalidInput("The request holds no rows.", expected="one row or more")


def _named(content: Any, _: Inputs) -> Table:
    table: Table = content
    return table


_COLUMNS: dict[str, Callable[[Any, Inputs], Table]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
    "csv": _text,
    "parquet": _named,
}
