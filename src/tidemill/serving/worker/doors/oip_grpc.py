"""The Open Inference Protocol, version 2, over gRPC: the same room, by its other door.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

import tidemill
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.serving.worker.asks import Answer
from tidemill.serving.worker.doors.common import Reception
from tidemill.serving.worker.doors.oip import (
    EXTENSIONS,
    PLATFORM,
    UNLOAD,
    check_loaded,
    deadline_of,
    index_of,
)
from tidemill.serving.worker.doors.oip_answers import binary_values
from tidemill.serving.worker.doors.oip_messages import HEALTH, SERVICE, build, build_health
from tidemill.serving.worker.doors.oip_requests import check_outputs
from tidemill.serving.worker.doors.tensors import (
    INTEGERS,
    Tensor,
    check_size,
    declared,
    read_binary,
    rows_of,
)
from tidemill.serving.worker.grpc_server import Method, timeout_of
from tidemill.serving.worker.http import HttpError, Request, Response, error_response
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.version import Version
from tidemill.serving.worker.wire import field_head

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
Handler = Callable[[Any], Any]
INFER = f"/{SERVICE}/ModelInfer"
_FORMS = 1000
_RAW = 7
"""The field of values in binary."""
_FORM_BYTES = 1 << 16
"""What stands before the values in a larger message is not worth remembering."""


class GrpcInference:
    """The door.

    Args:
        plane: Answers.
        reception: Reads callers off their metadata.
    """

    def __init__(self, plane: Plane, reception: Reception) -> None:
        self._plane = plane
        self._reception = reception
        self._messages = build()
        self._health_messages = build_health()
        self._forms: dict[int, _Form] = {}

    def methods(self) -> dict[str, Method]:
        """Return the methods of both services by their paths.

        The health service's `Watch` is left out: clients that would like it take that for a yes,
        by its specification.
        """
        handlers: dict[str, Handler] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        asked = self._messages
        table = {
            f"/{SERVICE}/{name}": partial(_answered, handler, asked[f"{name}Request"])
            for name, handler in handlers.items()
        }
        check = self._health_messages["HealthCheckRequest"]
        table[f"/{HEALTH}.Health/Check"] = partial(_answered, self._health, check)
        return {**table, INFER: self._infer}

    def _live(self, request: Any) -> Any:
        return self._messages["ServerLiveResponse"](live=True)

    def _ready(self, request: Any) -> Any:
        return self._messages["ServerReadyResponse"](ready=self._plane.table.generation >= 0)

    def _server(self, request: Any) -> Any:
        return self._messages["ServerMetadataResponse"](
            name="tidemill", version=tidemill.__version__, extensions=EXTENSIONS
        )

    def _model_ready(self, request: Any) -> Any:
        try:
            self._plane.table.endpoint(request.name).asked(request.version or None)
        except HttpError:
            return self._messages["ModelReadyResponse"](ready=False)
        return self._messages["ModelReadyResponse"](ready=True)

    def _health(self, request: Any) -> Any:
        if request.service not in ("", SERVICE):
            expected = nearest(request.service, [SERVICE])
            raise HttpError(404, f"There is no service {request.service!r}. Expected {expected}.")
        status = 1 if self._plane.table.generation >= 0 else 2
        return self._health_messages["HealthCheckResponse"](status=status)

    def _model(self, request: Any) -> Any:
        endpoint = self._plane.table.endpoint(request.name)
        found = endpoint.versions[endpoint.asked(request.version or None).version]
        tensor = self._messages["TensorMetadata"]
        return self._messages["ModelMetadataResponse"](
            name=request.name,
            versions=[str(number) for number in sorted(endpoint.versions)],
            platform=PLATFORM,
            inputs=[
                tensor(name=c.name, datatype=declared(c.type), shape=[-1])
                for c in found.signature.features
            ],
            outputs=[
                tensor(name=o.name, datatype=o.datatype, shape=o.shape) for o in found.outputs
            ],
        )

    def _index(self, request: Any) -> Any:
        index = self._messages["ModelIndex"]
        entries = index_of(self._plane.table, ready=request.ready)
        return self._messages["RepositoryIndexResponse"](models=[index(**e) for e in entries])

    def _load(self, request: Any) -> Any:
        check_loaded(self._plane.table, request.model_name, sorted(request.parameters))
        return self._messages["RepositoryModelLoadResponse"]()

    def _unload(self, request: Any) -> Any:
        self._plane.table.endpoint(request.model_name)
        raise HttpError(400, UNLOAD.format(request.model_name))

    def _infer(self, request: Request) -> Response | Reply:
        try:
            asked, values = self._read(request.body)
        except DecodeError as error:
            return error_response(400, f"The message is no ModelInferRequest: {error}.")
        except _Unfit as unfit:
            self._plane.refuse(unfit.endpoint, 400)
            return error_response(400, str(unfit.why))
        try:
            self._meet(request)
            deadline = _deadline(asked, request.arrived)
        except HttpError as error:
            self._plane.refuse(asked.model_name, error.status)
            return error_response(error.status, error.message)
        try:
            return self._plane.submit(
                self._reception.ask(
                    request,
                    asked.model_name,
                    _Inference(asked, values),
                    version=asked.version,
                    named=asked.id,
                    deadline=deadline,
                )
            )
        except HttpError as error:
            return error_response(error.status, error.message)

    def _meet(self, request: Request) -> None:
        """See who asks; a deadline in gRPC's words counts before one in ours.

        Raises:
            HttpError: A header cannot be read.
        """
        head = request.head
        if head.sender is None:
            sender = self._reception.sender(request)
            seconds = timeout_of(head.headers)
            if seconds is not None:
                head.sender = msgspec.structs.replace(sender, seconds=seconds)

    def _read(self, message: bytes) -> tuple[_Asked, list[Values]]:
        """Return what a message says; one whose like came before is not taken apart again.

        Raises:
            DecodeError: It is no message.
            _Unfit: Its values are not what it says of them.
        """
        form = self._forms.get(len(message))
        if form is not None and message.startswith(form.prefix):
            return form.asked, [read_binary(form.asked.tensors[0], message[len(form.prefix) :])]
        found = self._messages["ModelInferRequest"].FromString(message)
        try:
            values = _values(found)
        except InvalidInput as error:
            raise _Unfit(found.model_name, error) from error
        asked = _asked(found)
        self._remember(message, found, asked)
        return asked, values

    def _remember(self, message: bytes, found: Any, asked: _Asked) -> None:
        """Remember a message with the values of one tensor at its end, up to these."""
        raw = found.raw_input_contents
        if len(raw) != 1 or asked.id or not message.endswith(bytes(raw[0])):
            return
        prefix = message[: len(message) - len(raw[0])]
        # Its own field and length stand right before the values, or they are something else.
        if not prefix.endswith(field_head(_RAW, len(raw[0]))) or len(prefix) > _FORM_BYTES:
            return
        if len(self._forms) >= _FORMS:
            self._forms.clear()
        self._forms[len(message)] = _Form(prefix, asked)


class _Form(msgspec.Struct, frozen=True):
    """Messages that differ in their values only.

    Attributes:
        prefix: What stands before the values.
        asked: What they say.
    """

    prefix: bytes
    asked: _Asked


class _Unfit(Exception):
    """The values of a message do not fit it."""

    def __init__(self, endpoint: str, why: InvalidInput) -> None:
        super().__init__(endpoint, why)
        self.endpoint = endpoint
        self.why = why


class _Asked(msgspec.Struct, frozen=True, eq=False):
    """What a request says beside its values.

    Attributes:
        model_name: The endpoint's name.
        version: The version asked for.
        id: The caller's name for the request.
        parameters: Of the request.
        tensors: Its inputs.
        outputs: What is asked for, and how; everything where nothing is.
    """

    model_name: str
    version: str
    id: str
    parameters: dict[str, Any]
    tensors: list[Tensor]
    outputs: list[tuple[str, dict[str, Any]]]


class _Inference:
    """The content of a request."""

    __slots__ = ("_asked", "_values")

    def __init__(self, asked: _Asked, values: list[Values]) -> None:
        self._asked = asked
        self._values = values

    def rows(self, version: Version) -> Rows:
        """Return the rows for the version that answers."""
        asked = self._asked
        if asked.outputs:
            check_outputs(asked.outputs, version.outputs)
        return rows_of(asked.tensors, self._values, version.inputs)

    def render(self, answer: Answer) -> Response:
        """Return the response, the message in its body."""
        asked, version = self._asked, answer.version
        outputs = version.outputs
        if asked.outputs:
            wanted = {name for name, _ in asked.outputs}
            outputs = tuple(o for o in outputs if o.name in wanted)
        contents = [binary_values(o, answer) for o in outputs]
        message = version.wire.written(
            asked.model_name,
            answer.count,
            answer.ids,
            contents,
            outputs=outputs,
            identifier=asked.id,
        )
        return Response(200, message)


def _asked(request: Any) -> _Asked:
    return _Asked(
        request.model_name,
        request.model_version,
        request.id,
        _parameters(request.parameters),
        _tensors(request),
        [(o.name, _parameters(o.parameters)) for o in request.outputs],
    )


def _parameters(found: Any) -> dict[str, Any]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
        for name, value in found.items()
    }


def _tensors(request: Any) -> list[Tensor]:
    return [Tensor(i.name, list(i.shape), i.datatype) for i in request.inputs]


def _values(request: Any) -> list[Values]:
    tensors = _tensors(request)
    if not tensors:
        raise InvalidInput("The request has no inputs.", expected="one for each column")
    for tensor in request.inputs:
        if "shared_memory_region" in tensor.parameters:
            raise InvalidInput(
                f"Input {tensor.name!r} is in shared memory, which is not known here.",
                column=tensor.name,
                hint="Send the data with the request.",
            )
    raw = request.raw_input_contents
    if not raw:
        return [_content(t, i.contents) for t, i in zip(tensors, request.inputs, strict=True)]
    if len(raw) != len(tensors):
        raise InvalidInput(
            f"The request has {len(raw)} raw contents.",
            expected=f"{len(tensors)}, one for each input",
        )
    for tensor in request.inputs:
        if tensor.HasField("contents") and tensor.contents.ByteSize():
            raise InvalidInput(
                f"Input {tensor.name!r} has contents, and the request has raw contents.",
                column=tensor.name,
                expected="one of them",
            )
    return [read_binary(tensor, data) for tensor, data in zip(tensors, raw, strict=True)]


def _content(tensor: Tensor, contents: Any) -> Values:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(
            f"Input {tensor.name!r} has datatype {tensor.datatype!r}.",
            column=tensor.name,
            expected=nearest(tensor.datatype, _CONTENTS),
        )
    values = list(getattr(contents, field))
    check_size(tensor, len(values))
    if tensor.datatype in INTEGERS and values:
        low, high = INTEGERS[tensor.datatype]
        odd = min(values) if min(values) < low else max(values)
        if not low <= odd <= high:
            raise InvalidInput(
                f"Input {tensor.name!r} ({tensor.datatype}) has the value {odd}.",
                column=tensor.name,
                expected=f"{low} to {high}",
            )
    if field != "bytes_contents":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Input {tensor.name!r} is no UTF-8: {error}.") from error


def _deadline(asked: _Asked, now: float) -> float:
    return deadline_of(asked.parameters, now) if asked.parameters else math.inf


def _answered(handler: Handler, asked: Any, request: Request) -> Response:
    """Answer a call of a method that takes a message and gives one."""
    try:
        return Response(200, handler(asked.FromString(request.body)).SerializeToString())
    except DecodeError as error:
        return error_response(400, f"The message is no {asked.DESCRIPTOR.name}: {error}.")
    except InvalidInput as error:
        return error_response(400, str(error))
    except HttpError as error:
        return error_response(error.status, error.message)
