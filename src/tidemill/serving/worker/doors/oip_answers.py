"""Answers of the Open Inference Protocol over REST: JSON, and the binary tensor extension."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tidemill.models.inputs import Values
from tidemill.serving.worker.asks import Answer
from tidemill.serving.worker.doors.oip_requests import (
    HEADER_LENGTH,
    FloatsRequest,
    InferRequest,
    rows_for,
)
from tidemill.serving.worker.doors.tensors import write_binary
from tidemill.serving.worker.http import Response
from tidemill.serving.worker.outputs import Output
from tidemill.serving.worker.rows import Rows, listed
from tidemill.serving.worker.version import Version

OCTETS = b"application/octet-stream"
_ENCODER = msgspec.json.Encoder()


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One output of a response."""

    name: str
    datatype: str
    shape: list[int]
    data: Any = msgspec.UNSET
    parameters: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class InferResponse(msgspec.Struct):
    """The body of an inference response."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    parameters: dict[str, str]
    id: str | msgspec.UnsetType = msgspec.UNSET


class Inference:
    """The content of a request.

    Args:
        asked: What came.
        values: Of its tensors.
        name: The endpoint's name.
    """

    __slots__ = ("_asked", "_name", "_values")

    def __init__(
        self, asked: InferRequest | FloatsRequest, values: list[Values], name: str
    ) -> None:
        self._asked = asked
        self._values = values
        self._name = name

    def rows(self, version: Version) -> Rows:
        """Return the rows for the version that answers."""
        return rows_for(self._asked, self._values, version)

    def render(self, answer: Answer) -> Response:
        """Return the response."""
        asked = self._asked
        if asked.outputs or asked.parameters:
            return _rendered(asked, self._name, answer)
        version = answer.version
        data = [_flat_values(output, answer) for output in version.outputs]
        name = _ENCODER.encode(self._name)
        return Response(200, version.frame.filled(name, answer.count, data, answer.ids, asked.id))


def _rendered(asked: InferRequest | FloatsRequest, name: str, answer: Answer) -> Response:
    """Return a response as its outputs are asked for, one by one."""
    version = answer.version
    binary_default = bool((asked.parameters or {}).get("binary_data_output", False))
    wanted = {o.name: o for o in asked.outputs} if asked.outputs else None
    outputs: list[OutputTensor] = []
    tail: list[bytes] = []
    for output in version.outputs:
        if wanted is not None and output.name not in wanted:
            continue
        binary = binary_default
        if wanted is not None:
            binary = bool((wanted[output.name].parameters or {}).get("binary_data", binary))
        written = OutputTensor(output.name, output.datatype, [answer.count, *output.shape[1:]])
        if binary:
            tail.append(binary_values(output, answer))
            written.parameters = {"binary_data_size": len(tail[-1])}
        else:
            written.data = _flat_values(output, answer)
        outputs.append(written)
    body = _ENCODER.encode(
        InferResponse(
            name,
            str(version.number),
            outputs,
            {"prediction_ids": answer.ids},
            msgspec.UNSET if asked.id is None else asked.id,
        )
    )
    if not tail:
        return Response(200, body)
    length = ((HEADER_LENGTH, b"%d" % len(body)),)
    return Response(200, b"".join([body, *tail]), OCTETS, length)


def output_values(output: Output, answer: Answer) -> Values:
    """Return an output's values, a list a row where the output has a width."""
    if output.name == "probabilities":
        scores = answer.outcome.scores
        return [] if scores is None else answer.version.probabilities(scores)
    if output.datatype == "BYTES":
        return [str(v) for v in answer.outcome.values]
    return answer.outcome.values


def _flat(rows: Values) -> Any:
    if isinstance(rows, np.ndarray):
        return rows.ravel().tolist()
    return rows[0] if len(rows) == 1 else [value for row in rows for value in row]


def binary_values(output: Output, answer: Answer) -> bytes:
    """Return an output's values as they stand in the binary part."""
    values = output_values(output, answer)
    if output.width and values.__class__ is list:
        values = _flat(values)
    return write_binary(values, output.datatype)


def _flat_values(output: Output, answer: Answer) -> Any:
    values = output_values(output, answer)
    return _flat(values) if output.width else listed(values)
