"""The messages of the Open Inference Protocol's gRPC service, built from a table.

A table instead of generated code: it is shorter than what a compiler writes, needs no compiler in
the build, and is read side by side with the specification.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}
# Name, number, type; `*` marks a repeated field, `@` a map from strings.
_Fields = tuple[tuple[str, int, str], ...]
_NAMED: _Fields = (("name", 1, "string"), ("version", 2, "string"))
_METADATA: _Fields = (("name", 1, "string"), ("datatype", 2, "string"), ("shape", 3, "*int64"))
_TENSOR: _Fields = (
    *_METADATA,
    ("parameters", 4, "@InferParameter"),
    ("contents", 5, "InferTensorContents"),
)
_REPOSITORY: _Fields = (
    ("repository_name", 1, "string"),
    ("model_name", 2, "string"),
    ("parameters", 3, "@ModelRepositoryParameter"),
)
_MESSAGES: dict[str, _Fields] = {
    "InferParameter": (
        ("bool_param", 1, "bool"),
        ("int64_param", 2, "int64"),
        ("string_param", 3, "string"),
        ("double_param", 4, "double"),
        ("uint64_param", 5, "uint64"),
    ),
    "InferTensorContents": (
        ("bool_contents", 1, "*bool"),
        ("int_contents", 2, "*int32"),
        ("int64_contents", 3, "*int64"),
        ("uint_contents", 4, "*uint32"),
        ("uint64_contents", 5, "*uint64"),
        ("fp32_contents", 6, "*float"),
        ("fp64_contents", 7, "*double"),
        ("bytes_contents", 8, "*bytes"),
    ),
    "TensorMetadata": _METADATA,
    "InferInputTensor": _TENSOR,
    "InferOutputTensor": _TENSOR,
    "InferRequestedOutputTensor": (
        ("name", 1, "string"),
        ("parameters", 2, "@InferParameter"),
    ),
    "ServerLiveRequest": (),
    "ServerLiveResponse": (("live", 1, "bool"),),
    "ServerReadyRequest": (),
    "ServerReadyResponse": (("ready", 1, "bool"),),
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": (("ready", 1, "bool"),),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*_NAMED, ("extensions", 3, "*string")),
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse": (
        ("name", 1, "string"),
        ("versions", 2, "*string"),
        ("platform", 3, "string"),
        ("inputs", 4, "*TensorMetadata"),
        ("outputs", 5, "*TensorMetadata"),
    ),
    "ModelInferRequest": (
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("id", 3, "string"),
        ("parameters", 4, "@InferParameter"),
        ("inputs", 5, "*InferInputTensor"),
        ("outputs", 6, "*InferRequestedOutputTensor"),
        ("raw_input_contents", 7, "*bytes"),
    ),
    "ModelInferResponse": (
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("id", 3, "string"),
        ("parameters", 4, "@InferParameter"),
        ("outputs", 5, "*InferOutputTensor"),
        ("raw_output_contents", 6, "*bytes"),
    ),
    "RepositoryIndexRequest": (("repository_name", 1, "string"), ("ready", 2, "bool")),
    "ModelIndex": (*_NAMED, ("state", 3, "string"), ("reason", 4, "string")),
    "RepositoryIndexResponse": (("models", 1, "*ModelIndex"),),
    "ModelRepositoryParameter": (
        ("bool_param", 1, "bool"),
        ("int64_param", 2, "int64"),
        ("string_param", 3, "string"),
        ("bytes_param", 4, "bytes"),
    ),
    "RepositoryModelLoadRequest": _REPOSITORY,
    "RepositoryModelLoadResponse": (),
    "RepositoryModelUnloadRequest": _REPOSITORY,
    "RepositoryModelUnloadResponse": (),
}
_ONE_OF = {
    "InferParameter": "parameter_choice",
    "ModelRepositoryParameter": "parameter_choice",
}


_HEALTH: dict[str, _Fields] = {
    "HealthCheckRequest": (("service", 1, "string"),),
    # An enum by its declaration, and on the wire a number: 1 is SERVING, 2 NOT_SERVING.
    "HealthCheckResponse": (("status", 1, "int32"),),
}
HEALTH = "grpc.health.v1"


def build() -> dict[str, Any]:
    """Return the classes of the service's messages, by name, from a pool of their own."""
    return _built(PACKAGE, _MESSAGES)


def build_health() -> dict[str, Any]:
    """Return the classes of gRPC's own health service.

    References:
        https://github.com/grpc/grpc/blob/master/doc/health-checking.md
    """
    return _built(HEALTH, _HEALTH)


def _built(package: str, messages: dict[str, _Fields]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name=_ONE_OF[name])
        for field_name, number, kind in fields:
            _add(message, package, field_name, number, kind, one_of=name in _ONE_OF)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def _add(message: Any, package: str, name: str, number: int, kind: str, *, one_of: bool) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind[0] in "*@":
        field.label = _Field.LABEL_REPEATED
    if one_of:
        field.oneof_index = 0
    base = kind.lstrip("*@")
    if kind[0] == "@":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, package, "key", 1, "string", one_of=False)
        _add(entry, package, "value", 2, base, one_of=False)
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry.name}"
    elif base in _SCALARS:
        field.type = _SCALARS[base]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{base}"
