"""The Open Inference Protocol, version 2, over gRPC: the same room, by its other door.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

import grpc
import msgspec

import tidemill
from tidemill.core.clock import Clock, micros
from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.serving.worker.doors.oip import (
    EXTENSIONS,
    PLATFORM,
    Output,
    output_values,
    outputs_of,
)
from tidemill.serving.worker.doors.oip_messages import SERVICE, build
from tidemill.serving.worker.doors.tensors import (
    Tensor,
    check_size,
    declared,
    read_binary,
    rows_of,
    write_binary,
)
from tidemill.serving.worker.http import HttpError, Response
from tidemill.serving.worker.plane import Answer, Ask, Plane
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.version import Version

_SECONDS = 30.0
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


class GrpcInference:
    """The door.

    Args:
        plane: Answers.
        clock: Tells the time.
    """

    def __init__(self, plane: Plane, clock: Clock) -> None:
        self._plane = plane
        self._clock = clock
        self._messages = build()

    def health(self) -> grpc.GenericRpcHandler:
        """Return the methods of gRPC's health service."""
        check = grpc.unary_unary_rpc_method_handler(self._health)
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the service's methods."""
        methods: dict[str, Handler] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model,
            "RepositoryIndex": self._index,
        }
        table = {name: self._method(name, handler) for name, handler in methods.items()}
        table["ModelInfer"] = grpc.unary_unary_rpc_method_handler(
            self._infer,
            request_deserializer=self._messages["ModelInferRequest"].FromString,
            # Answers are written by `_render`, in bytes already.
            response_serializer=None,
        )
        return grpc.method_handlers_generic_handler(SERVICE, table)

    def _method(self, name: str, handler: Handler) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            handler,
            request_deserializer=self._messages[f"{name}Request"].FromString,
            response_serializer=self._messages[f"{name}Response"].SerializeToString,
        )

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

    async def _health(self, request: bytes, context: Any) -> bytes:
        """Answer gRPC's own health check: one field, an enum, SERVING or NOT_SERVING."""
        return b"\x08\x01" if self._plane.table.generation >= 0 else b"\x08\x02"

    async def _model(self, request: Any, context: Any) -> Any:
        try:
            endpoint = self._plane.table.endpoint(request.name)
            found = endpoint.versions[endpoint.asked(request.version or None).version]
        except HttpError as error:
            await _abort(context, error.status, error.message)
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
                tensor(name=o.name, datatype=o.datatype, shape=o.shape)
                for o in outputs_of(found.signature)
            ],
        )

    async def _index(self, request: Any, context: Any) -> Any:
        index = self._messages["ModelIndex"]
        return self._messages["RepositoryIndexResponse"](
            models=[
                index(name=name, version=str(number), state="READY")
                for name, endpoint in self._plane.table.endpoints.items()
                for number in endpoint.versions
            ]
        )

    async def _infer(self, request: Any, context: Any) -> bytes:
        now = self._clock.monotonic()
        left = context.time_remaining()
        try:
            values = _values(request)
            response = await self._plane.submit(
                Ask(
                    endpoint=request.model_name,
                    rows=partial(_rows, request, values),
                    render=partial(self._render, request),
                    version=request.model_version or None,
                    key=request.id or None,
                    request_id=request.id,
                    time=micros(self._clock.now()),
                    arrived=now,
                    deadline=now + (_SECONDS if left is None else left),
                )
            )
        except InvalidInput as error:
            await _abort(context, 400, str(error))
        except HttpError as error:
            await _abort(context, error.status, error.message)
        if response.status != 200:
            await _abort(context, response.status, msgspec.json.decode(response.body)["error"])
        return response.body

    def _render(self, request: Any, answer: Answer) -> Response:
        wanted = {o.name for o in request.outputs}
        outputs = [
            o for o in outputs_of(answer.version.signature) if not wanted or o.name in wanted
        ]
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
    raw = request.raw_input_contents
    if not raw:
        return [_content(t, i.contents) for t, i in zip(tensors, request.inputs, strict=True)]
    if len(raw) != len(tensors):
        raise InvalidInput(
            f"The request has {len(raw)} raw contents.",
            expected=f"{len(tensors)}, one for each input",
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
    if field != "bytes_contents":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Input {tensor.name!r} is no UTF-8: {error}.") from error


def _rows(request: Any, values: list[Values], version: Version) -> Rows:
    known = [o.name for o in outputs_of(version.signature)]
    for output in request.outputs:
        if output.name not in known:
            raise InvalidInput(
                f"There is no output {output.name!r}.", expected=nearest(output.name, known)
            )
    return rows_of(_tensors(request), values, version.inputs)


async def _abort(context: Any, status: int, message: str) -> NoReturn:
    await context.abort(_CODES.get(status, grpc.StatusCode.INTERNAL), message)
    raise AssertionError("abort raises")
