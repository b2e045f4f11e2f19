"""The Open Inference Protocol, version 2, over gRPC: the same room, by its other door.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import msgspec
from google.protobuf.message import DecodeError

import tidemill
from tidemill.core.clock import Clock
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
from tidemill.serving.worker.doors.oip_answers import output_values
from tidemill.serving.worker.doors.oip_messages import HEALTH, SERVICE, build, build_health
from tidemill.serving.worker.doors.oip_requests import check_outputs
from tidemill.serving.worker.doors.tensors import (
    INTEGERS,
    Tensor,
    check_size,
    declared,
    read_binary,
    rows_of,
    write_binary,
)
from tidemill.serving.worker.http import Head, HttpError, Request, Response
from tidemill.serving.worker.outputs import Output
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.trace import HEADER
from tidemill.serving.worker.tracing import Traces
from tidemill.serving.worker.version import Version

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
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
Handler = Callable[[Any, Any], Awaitable[Any]]
_PATH = f"/{SERVICE}/ModelInfer"


class GrpcInference:
    """The door.

    Args:
        plane: Answers.
        reception: Reads callers off their metadata.
        clock: Tells the time.
        traces: Where requests' traces go, if anywhere.
    """

    def __init__(
        self,
        plane: Plane,
        reception: Reception,
        clock: Clock,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._plane = plane
        self._reception = reception
        self._clock = clock
        self._messages = build()
        self._health_messages = build_health()

    def health(self) -> grpc.GenericRpcHandler:
        """Return the methods of gRPC's health service.

        `Watch` is left out: clients that would like it take that for a yes, by its specification.
        """
        asked, answer = self._health_messages.values()
        check = _unary(self._health, asked, answer.SerializeToString)
        return grpc.method_handlers_generic_handler(f"{HEALTH}.Health", {"Check": check})

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the service's methods."""
        methods: dict[str, Handler] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        table = {
            name: _unary(
                handler,
                self._messages[f"{name}Request"],
                self._messages[f"{name}Response"].SerializeToString,
            )
            for name, handler in methods.items()
        }
        # Answers are written by `_render`, in bytes already.
        table["ModelInfer"] = _unary(self._infer, self._messages["ModelInferRequest"], bytes)
        return grpc.method_handlers_generic_handler(SERVICE, table)

    async def _live(self, request: Any, context: Any) -> Any:
        return self._messages["ServerLiveResponse"](live=True)

    async def _ready(self, request: Any, context: Any) -> Any:
        return self._messages["ServerReadyResponse"](ready=self._plane.table.generation >= 0)

    async def _server(self, request: Any, context: Any) -> Any:
        return self._messages["ServerMetadataResponse"](
            name="tidemill", version=tidemill.__version__, extensions=EXTENSIONS
        )

    async def _model_ready(self, request: Any, context: Any) -> Any:
        try:
            self._plane.table.endpoint(request.name).asked(request.version or None)
        except HttpError:
            return self._messages["ModelReadyResponse"](ready=False)
        return self._messages["ModelReadyResponse"](ready=True)

    async def _health(self, request: Any, context: Any) -> Any:
        if request.service not in ("", SERVICE):
            expected = nearest(request.service, [SERVICE])
            raise HttpError(404, f"There is no service {request.service!r}. Expected {expected}.")
        status = 1 if self._plane.table.generation >= 0 else 2
        return self._health_messages["HealthCheckResponse"](status=status)

    async def _model(self, request: Any, context: Any) -> Any:
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

    async def _index(self, request: Any, context: Any) -> Any:
        index = self._messages["ModelIndex"]
        entries = index_of(self._plane.table, ready=request.ready)
        return self._messages["RepositoryIndexResponse"](models=[index(**e) for e in entries])

    async def _load(self, request: Any, context: Any) -> Any:
        check_loaded(self._plane.table, request.model_name, sorted(request.parameters))
        return self._messages["RepositoryModelLoadResponse"]()

    async def _unload(self, request: Any, context: Any) -> Any:
        self._plane.table.endpoint(request.model_name)
        raise HttpError(400, UNLOAD.format(request.model_name))

    async def _infer(self, request: Any, context: Any) -> bytes:
        called = _called(context, self._clock.monotonic())
        if self._traces is None:
            return await self._answer(request, context, called)
        self._traces.begin(called)
        status = 500
        try:
            answer = await self._answer(request, context, called)
            status = 200
        except InvalidInput:
            status = 400
            raise
        except HttpError as error:
            status = error.status
            raise
        finally:
            self._traces.end(called, status, self._clock.monotonic())
            if called.trace is not None:
                told = (HEADER.decode(), called.trace.header.decode())
                context.set_trailing_metadata((told,))
        return answer

    async def _answer(self, request: Any, context: Any, called: Request) -> bytes:
        try:
            values = _values(request)
            deadline = _deadline(request, called.arrived)
        except InvalidInput:
            self._plane.refuse(request.model_name, 400)
            raise
        except HttpError as error:
            self._plane.refuse(request.model_name, error.status)
            raise
        response = await self._plane.submit(
            self._reception.ask(
                called,
                request.model_name,
                _Inference(self._messages, request, values),
                version=request.model_version,
                named=request.id,
                deadline=deadline,
                patience=context.time_remaining(),
            )
        )
        if response.status != 200:
            raise HttpError(response.status, msgspec.json.decode(response.body)["error"])
        return response.body


class _Inference:
    """The content of a request."""

    __slots__ = ("_messages", "_request", "_values")

    def __init__(self, messages: dict[str, Any], request: Any, values: list[Values]) -> None:
        self._messages = messages
        self._request = request
        self._values = values

    def rows(self, version: Version) -> Rows:
        return _rows(self._request, self._values, version)

    def render(self, answer: Answer) -> Response:
        request = self._request
        wanted = {o.name for o in request.outputs}
        outputs = [o for o in answer.version.outputs if not wanted or o.name in wanted]
        message = self._messages["ModelInferResponse"](
            model_name=request.model_name,
            model_version=str(answer.version.number),
            id=request.id,
            outputs=[self._described(o, answer) for o in outputs],
            raw_output_contents=[
                write_binary(output_values(o, answer), o.datatype) for o in outputs
            ],
        )
        message.parameters["prediction_ids"].string_param = ",".join(answer.ids)
        return Response(200, message.SerializeToString())

    def _described(self, output: Output, answer: Answer) -> Any:
        return self._messages["InferOutputTensor"](
            name=output.name,
            datatype=output.datatype,
            shape=[len(answer.ids), *output.shape[1:]],
        )


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


def _rows(request: Any, values: list[Values], version: Version) -> Rows:
    if request.outputs:
        check_outputs(((o.name, o.parameters) for o in request.outputs), version.outputs)
    return rows_of(_tensors(request), values, version.inputs)


def _called(context: Any, now: float) -> Request:
    """Return a call's metadata as the headers that they are."""
    headers = {
        key.encode(): value if isinstance(value, bytes) else value.encode("latin-1", "replace")
        for key, value in context.invocation_metadata() or ()
    }
    return Request(Head("POST", _PATH, headers=headers), arrived=now)


def _deadline(request: Any, now: float) -> float:
    if not request.parameters:
        return math.inf
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
        for name, value in request.parameters.items()
    }
    return deadline_of(parameters, now)


def _unary(handler: Handler, asked: Any, write: Callable[[Any], bytes]) -> grpc.RpcMethodHandler:
    """Return a method: bytes to a message and back, and errors to their status."""

    async def answer(data: bytes, context: Any) -> bytes:
        try:
            return write(await handler(asked.FromString(data), context))
        except DecodeError as error:
            await _abort(context, 400, f"The message is no {asked.DESCRIPTOR.name}: {error}.")
        except InvalidInput as error:
            await _abort(context, 400, str(error))
        except HttpError as error:
            await _abort(context, error.status, error.message)

    return grpc.unary_unary_rpc_method_handler(answer)


async def _abort(context: Any, status: int, message: str) -> NoReturn:
    await context.abort(_CODES.get(status, grpc.StatusCode.INTERNAL), message)
    raise AssertionError("abort raises")
