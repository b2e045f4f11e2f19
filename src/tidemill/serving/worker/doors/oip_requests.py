"""Inference requests of the Open Inference Protocol, read: JSON, and the binary tensor extension.

Most requests are tensors of floating-point numbers, so that is guessed first: then a body is gone
through once. A body that is something else is read again by the datatypes that it names.

References:
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.serving.worker.doors.common import decode
from tidemill.serving.worker.doors.tensors import (
    FLOATS,
    Floats,
    Parameters,
    Tensor,
    read_binary,
    read_json,
    rows_of,
)
from tidemill.serving.worker.http import HttpError, Request
from tidemill.serving.worker.outputs import Output
from tidemill.serving.worker.rows import Rows, packed
from tidemill.serving.worker.version import Version

HEADER_LENGTH = b"inference-header-content-length"
UNKNOWN = {
    "classification": "Ask for 'probabilities' and take the largest.",
    "shared_memory_region": "Send the data with the request.",
}
"""Parameters of Triton that would change an answer, and what to do without them."""


class RequestedOutput(msgspec.Struct):
    """One output that is asked for."""

    name: str
    parameters: Parameters = None


class InferRequest(msgspec.Struct):
    """The body of an inference request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[RequestedOutput] | None = None


class FloatsRequest(msgspec.Struct):
    """The same, where every tensor holds floating-point numbers."""

    inputs: list[Floats]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[RequestedOutput] | None = None


_DECODER = msgspec.json.Decoder(InferRequest)
_FLOATS = msgspec.json.Decoder(FloatsRequest)
_FEW = 1024
"""So many numbers are no array yet: they become one with those of other requests."""
_SKIPS = 100
"""So many requests of an endpoint are not guessed at after one of another kind."""
_ENDPOINTS = 1000
Asked = tuple[InferRequest | FloatsRequest, list[Values]]


def flag_of(parameters: Mapping[str, object] | None, name: str, default: bool) -> bool:
    """Return a parameter that is yes or no.

    Raises:
        InvalidInput: It is neither.
    """
    found = (parameters or {}).get(name, default)
    if not isinstance(found, bool):
        raise InvalidInput(f"The parameter {name!r} is {found!r}.", expected="true or false")
    return found


def check_outputs(
    asked: Iterable[tuple[str, Mapping[str, object]]], outputs: Sequence[Output]
) -> None:
    """Return if outputs can be given as they are asked for.

    Raises:
        InvalidInput: A name is unknown, or a parameter would change the answer.
    """
    known = [o.name for o in outputs]
    for name, parameters in asked:
        if name not in known:
            raise InvalidInput(f"There is no output {name!r}.", expected=nearest(name, known))
        for parameter in parameters.keys() & UNKNOWN:
            raise InvalidInput(
                f"Output {name!r} has the parameter {parameter!r}, which is not known here.",
                hint=UNKNOWN[parameter],
            )


class Reader:
    """Reads requests, and remembers of which endpoints they are rarely what is guessed."""

    def __init__(self) -> None:
        self._skips: dict[str, int] = {}

    def read(self, request: Request, body: bytes, endpoint: str) -> Asked:
        """Return what a body says.

        Raises:
            HttpError: It is no inference request; the message names the field.
        """
        length = request.headers.get(HEADER_LENGTH)
        if length is not None:
            return _by_datatype(*_divided(body, length))
        skips = self._skips.get(endpoint, 0)
        if skips == 0:
            found = _numbers(body)
            if found is not None:
                return found
            if len(self._skips) >= _ENDPOINTS:
                self._skips.clear()
        self._skips[endpoint] = (skips or _SKIPS) - 1
        return _by_datatype(body, b"")


def rows_for(asked: InferRequest | FloatsRequest, values: list[Values], version: Version) -> Rows:
    """Return the rows of a request for the version that answers it.

    Raises:
        InvalidInput: They do not fit what it takes, or what is asked for is not what it gives.
    """
    if asked.outputs:
        check_outputs(((o.name, o.parameters or {}) for o in asked.outputs), version.outputs)
        for output in asked.outputs:
            flag_of(output.parameters, "binary_data", default=False)
    if asked.parameters:
        flag_of(asked.parameters, "binary_data_output", default=False)
    return rows_of(asked.inputs, values, version.inputs)


def _by_datatype(head: bytes, tail: bytes) -> Asked:
    asked: InferRequest = decode(_DECODER, head)
    if not asked.inputs:
        raise HttpError(400, "The request has no inputs. Expected one for each column.")
    try:
        return asked, _values(asked.inputs, tail)
    except InvalidInput as error:
        raise HttpError(400, str(error)) from error


def _numbers(body: bytes) -> Asked | None:
    """Read a request of nothing but flat tensors of floating-point numbers.

    Nothing is returned for a request of any other kind, or with a mistake in it.
    """
    try:
        asked: FloatsRequest = _FLOATS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    values: list[Values] = []
    for tensor in asked.inputs:
        data = tensor.data
        if tensor.datatype not in FLOATS or tensor.parameters or not _holds(tensor.shape, data):
            return None
        values.append(data if len(data) <= _FEW else np.frombuffer(packed(data)))
    return (asked, values) if values else None


def _holds(shape: list[int], data: list[float | None]) -> bool:
    """Tell whether a shape is one that most have, and right."""
    if len(shape) == 1:
        return shape[0] == len(data)
    return len(shape) == 2 and shape[0] > 0 and shape[0] * shape[1] == len(data)


def _divided(body: bytes, length: bytes) -> tuple[bytes, bytes]:
    if not length.isdigit() or int(length[:12]) > len(body):
        raise HttpError(
            400,
            f"The header Inference-Header-Content-Length is {length.decode('latin-1')!r}. "
            f"Expected the bytes of the JSON part, at most {len(body)}.",
        )
    return body[: int(length)], body[int(length) :]


def _values(tensors: list[Tensor], tail: bytes) -> list[Values]:
    values: list[Values] = []
    at = 0
    for tensor in tensors:
        size = None if tensor.parameters is None else _binary_size(tensor)
        if size is None:
            values.append(read_json(tensor))
            continue
        if type(size) is not int or size < 0 or at + size > len(tail):
            raise InvalidInput(
                f"Input {tensor.name!r} has binary_data_size {size!r}.",
                column=tensor.name,
                expected=f"at most the {len(tail) - at} bytes that are left of the body",
            )
        values.append(read_binary(tensor, tail[at : at + size]))
        at += size
    if at != len(tail):
        raise InvalidInput(f"{len(tail) - at} bytes of the body belong to no input.")
    return values


def _binary_size(tensor: Tensor) -> object:
    parameters = tensor.parameters or {}
    for name in parameters.keys() & UNKNOWN:
        raise InvalidInput(
            f"Input {tensor.name!r} has the parameter {name!r}, which is not known here.",
            column=tensor.name,
            hint=UNKNOWN[name],
        )
    size = parameters.get("binary_data_size")
    if size is not None and bytes(tensor.data):
        raise InvalidInput(
            f"Input {tensor.name!r} has `data` and binary_data_size.",
            column=tensor.name,
            expected="one of them",
        )
    return size
