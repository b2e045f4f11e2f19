"""The Open Inference Protocol, version 2, over REST: JSON and the binary tensor extension.

The model's name in the URL is the endpoint's. Each column is an input of its own; a model without
text also takes all columns as one tensor `x` of shape `[n, features]`.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

import tidemill
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.models.records import Signature
from tidemill.serving.worker.asks import Answer
from tidemill.serving.worker.doors.common import Reception, check_no_form, decode
from tidemill.serving.worker.doors.tensors import (
    FLOATS,
    Floats,
    Parameters,
    Tensor,
    as_array,
    check_size,
    declared,
    read_binary,
    read_json,
    rows_of,
    write_binary,
)
from tidemill.serving.worker.http import HttpError, Request, Response, json_response
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.rows import Rows, listed
from tidemill.serving.worker.table import Table
from tidemill.serving.worker.version import Version

HEADER_LENGTH = b"inference-header-content-length"
OCTETS = b"application/octet-stream"
PLATFORM = "tidemill_onnx"
EXTENSIONS = ("binary_tensor_data", "model_repository")
UNLOAD = (
    "Model {0!r} is served because a deployment says so. "
    "Change that with `tidemill deploy` or `tidemill rollback {0}`."
)


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


class IndexRequest(msgspec.Struct):
    """The body of a request for the repository's index."""

    ready: bool = False


class LoadRequest(msgspec.Struct):
    """The body of a request to load or unload a model."""

    parameters: Parameters = None


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


class Output(msgspec.Struct, frozen=True):
    """An output before it is written.

    Attributes:
        name: `label`, `probabilities` or `prediction`.
        datatype: What its values are.
        width: How many values a row has; 0 for one that is no list.
    """

    name: str
    datatype: str
    width: int = 0

    @property
    def shape(self) -> list[int]:
        """Its shape in the metadata."""
        return [-1, self.width] if self.width else [-1]


_DECODER = msgspec.json.Decoder(InferRequest)
_FLOATS = msgspec.json.Decoder(FloatsRequest)
_LARGE = 4096
"""A body of so many bytes is worth a guess at what it holds."""
_INDEX = msgspec.json.Decoder(IndexRequest)
_LOAD = msgspec.json.Decoder(LoadRequest)
_ENCODER = msgspec.json.Encoder()
_UNKNOWN = {
    "classification": "Ask for 'probabilities' and take the largest.",
    "shared_memory_region": "Send the data with the request.",
}
"""Parameters of Triton that would change an answer, and what to do without them."""


class OpenInference:
    """The door.

    Args:
        plane: Answers.
        reception: Reads callers off their headers.
    """

    def __init__(self, plane: Plane, reception: Reception) -> None:
        self._plane = plane
        self._reception = reception

    def server(self) -> Response:
        """Say who we are."""
        return json_response(
            {"name": "tidemill", "version": tidemill.__version__, "extensions": EXTENSIONS}
        )

    @property
    def table(self) -> Table:
        """What is served now."""
        return self._plane.table

    def live(self) -> Response:
        """Say that the server lives."""
        return json_response({"live": True})

    def ready(self) -> Response:
        """Say whether every endpoint is served as the route table wants it."""
        ready = self._plane.table.generation >= 0
        return json_response({"live": True, "ready": ready}, 200 if ready else 503)

    def model(self, name: str, version: str | None = None) -> Response:
        """Say what a model takes and gives."""
        endpoint = self._plane.table.endpoint(name)
        found = endpoint.versions[endpoint.asked(version).version]
        return json_response(
            {
                "name": name,
                "versions": [str(number) for number in sorted(endpoint.versions)],
                "platform": PLATFORM,
                "inputs": [
                    {"name": c.name, "datatype": declared(c.type), "shape": [-1]}
                    for c in found.signature.features
                ],
                "outputs": [
                    {"name": o.name, "datatype": o.datatype, "shape": o.shape}
                    for o in outputs_of(found.signature)
                ],
            }
        )

    def model_ready(self, name: str, version: str | None = None) -> Response:
        """Say whether a model answers."""
        self._plane.table.endpoint(name).asked(version)
        return json_response({"name": name, "ready": True})

    def models(self) -> Response:
        """List the models by name."""
        return json_response({"models": sorted(self._plane.table.endpoints)})

    def index(self, request: Request) -> Response:
        """List the models, with the versions that are kept warm.

        Raises:
            HttpError: The body is none of an index request.
        """
        body = self._reception.body(request)
        asked: IndexRequest = decode(_INDEX, body) if body else IndexRequest()
        return json_response(index_of(self._plane.table, ready=asked.ready))

    def load(self, request: Request, name: str) -> Response:
        """Answer a wish to load a model: one that is served is loaded.

        Raises:
            HttpError: It is not served, or is to be loaded in another way than it is.
        """
        body = self._reception.body(request)
        asked: LoadRequest = decode(_LOAD, body) if body else LoadRequest()
        check_loaded(self._plane.table, name, sorted(asked.parameters or ()))
        return json_response({})

    def unload(self, name: str) -> Response:
        """Answer a wish to unload a model: deployments decide that, not clients.

        Raises:
            HttpError: Always.
        """
        self._plane.table.endpoint(name)
        raise HttpError(400, UNLOAD.format(name))

    def infer(self, request: Request, name: str, version: str | None = None) -> Reply:
        """Answer an inference request.

        Raises:
            HttpError: It is refused; the message names the field.
        """
        try:
            if request.head.sender is None:
                check_no_form(request)
            asked, values = _read(self._reception.body(request), request)
            deadline = deadline_of(asked.parameters or {}, request.arrived)
        except HttpError as error:
            self._plane.refuse(name, error.status)
            raise
        content = _Inference(asked, values, name)
        return self._plane.submit(
            self._reception.ask(
                request, name, content, version=version, named=asked.id, deadline=deadline
            )
        )


class _Inference:
    """The content of a request."""

    __slots__ = ("_asked", "_name", "_values")

    def __init__(self, asked: InferRequest, values: list[Values], name: str) -> None:
        self._asked = asked
        self._values = values
        self._name = name

    def rows(self, version: Version) -> Rows:
        return _rows(self._asked, self._values, version)

    def render(self, answer: Answer) -> Response:
        return _render(self._asked, self._name, answer)


@lru_cache(1024)
def outputs_of(signature: Signature) -> tuple[Output, ...]:
    """Return what a model gives."""
    if signature.task == "regression":
        return (Output("prediction", "FP64"),)
    return (
        Output("label", _label_type(signature)),
        Output("probabilities", "FP64", len(signature.classes)),
    )


def _label_type(signature: Signature) -> str:
    kinds = {type(c) for c in signature.classes}
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if kinds == {int} else "BYTES"


def deadline_of(parameters: Mapping[str, object], arrived: float) -> float:
    """Return when the caller gives up, by Triton's parameter `timeout`, in microseconds.

    Raises:
        HttpError: It is no time.

    Example:
        >>> deadline_of({"timeout": 250_000}, 10.0)
        10.25
    """
    timeout = parameters.get("timeout")
    if timeout is None:
        return math.inf
    if type(timeout) is not int or timeout <= 0:
        raise HttpError(
            400, f"The parameter 'timeout' is {timeout!r}. Expected whole microseconds."
        )
    return arrived + timeout / 1e6


def flag_of(parameters: Mapping[str, object] | None, name: str, default: bool) -> bool:
    """Return a parameter that is yes or no.

    Raises:
        InvalidInput: It is neither.
    """
    found = (parameters or {}).get(name, default)
    if not isinstance(found, bool):
        raise InvalidInput(f"The parameter {name!r} is {found!r}.", expected="true or false")
    return found


def check_outputs(asked: Iterable[tuple[str, Mapping[str, object]]], signature: Signature) -> None:
    """Return if outputs can be given as they are asked for.

    Raises:
        InvalidInput: A name is unknown, or a parameter would change the answer.
    """
    known = [o.name for o in outputs_of(signature)]
    for name, parameters in asked:
        if name not in known:
            raise InvalidInput(f"There is no output {name!r}.", expected=nearest(name, known))
        for parameter in parameters.keys() & _UNKNOWN:
            raise InvalidInput(
                f"Output {name!r} has the parameter {parameter!r}, which is not known here.",
                hint=_UNKNOWN[parameter],
            )


def index_of(table: Table, *, ready: bool) -> list[dict[str, str]]:
    """Return the entries of the repository's index, or those only that are ready."""
    found = [
        {"name": name, "version": str(number), "state": "READY", "reason": ""}
        for name, endpoint in table.endpoints.items()
        for number in endpoint.versions
    ]
    broken = [
        {"name": name, "version": "", "state": "UNAVAILABLE", "reason": reason}
        for name, reason in table.problems.items()
    ]
    return found if ready else [*found, *broken]


def check_loaded(table: Table, name: str, parameters: Sequence[str]) -> None:
    """Return if a model is loaded as a client wishes it to be.

    Raises:
        HttpError: It is not served, or the client brings files or a configuration of its own.
    """
    table.endpoint(name)
    if parameters:
        raise HttpError(
            400,
            f"Model {name!r} is loaded as its deployment says; the parameters "
            f"{', '.join(parameters)} cannot change that. Deploy another version instead.",
        )


def _read(body: bytes, request: Request) -> tuple[InferRequest, list[Values]]:
    length = request.headers.get(HEADER_LENGTH)
    if length is None and len(body) > _LARGE:
        found = _numbers(body)
        if found is not None:
            return found
    head, tail = (body, b"") if length is None else _divided(body, length)
    asked: InferRequest = decode(_DECODER, head)
    if not asked.inputs:
        raise HttpError(400, "The request has no inputs. Expected one for each column.")
    try:
        return asked, _values(asked.inputs, tail)
    except InvalidInput as error:
        raise HttpError(400, str(error)) from error


def _numbers(body: bytes) -> tuple[InferRequest, list[Values]] | None:
    """Read a large request of nothing but flat tensors of floating-point numbers.

    It is gone through once, where reading a tensor by its datatype takes a look for the tensor's
    end first. Nothing is returned for a request of any other kind, or with a mistake in it.
    """
    try:
        numbers = _FLOATS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    tensors = [Tensor(t.name, t.shape, t.datatype, parameters=t.parameters) for t in numbers.inputs]
    if not tensors or any(t.datatype not in FLOATS or t.parameters for t in tensors):
        return None
    values: list[Values] = [as_array(t.data) for t in numbers.inputs]
    try:
        for tensor, column in zip(tensors, values, strict=True):
            check_size(tensor, len(column))
    except InvalidInput:
        return None
    return InferRequest(tensors, numbers.id, numbers.parameters, numbers.outputs), values


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
    for name in parameters.keys() & _UNKNOWN:
        raise InvalidInput(
            f"Input {tensor.name!r} has the parameter {name!r}, which is not known here.",
            column=tensor.name,
            hint=_UNKNOWN[name],
        )
    size = parameters.get("binary_data_size")
    if size is not None and bytes(tensor.data):
        raise InvalidInput(
            f"Input {tensor.name!r} has `data` and binary_data_size.",
            column=tensor.name,
            expected="one of them",
        )
    return size


def _rows(asked: InferRequest, values: list[Values], version: Version) -> Rows:
    if asked.outputs:
        check_outputs(((o.name, o.parameters or {}) for o in asked.outputs), version.signature)
        for output in asked.outputs:
            flag_of(output.parameters, "binary_data", default=False)
    if asked.parameters:
        flag_of(asked.parameters, "binary_data_output", default=False)
    return rows_of(asked.inputs, values, version.inputs)


def _render(asked: InferRequest, name: str, answer: Answer) -> Response:
    version = answer.version
    binary_default = bool((asked.parameters or {}).get("binary_data_output", False))
    wanted = {o.name: o for o in asked.outputs} if asked.outputs else None
    outputs: list[OutputTensor] = []
    tail: list[bytes] = []
    for output in outputs_of(version.signature):
        if wanted is not None and output.name not in wanted:
            continue
        binary = binary_default
        if wanted is not None:
            binary = bool((wanted[output.name].parameters or {}).get("binary_data", binary))
        written = OutputTensor(output.name, output.datatype, [len(answer.ids), *output.shape[1:]])
        values = output_values(output, answer)
        if binary:
            tail.append(write_binary(values, output.datatype))
            written.parameters = {"binary_data_size": len(tail[-1])}
        else:
            written.data = _flat(values) if output.width else listed(values)
        outputs.append(written)
    body = _ENCODER.encode(
        InferResponse(
            name,
            str(version.number),
            outputs,
            {"prediction_ids": ",".join(answer.ids)},
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
