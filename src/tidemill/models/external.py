"""Finds references to other files in an ONNX graph, without onnx and without opening any.

ONNX lets a tensor keep its values in a file beside the graph, named by a path that the graph
chooses. A bundle has no use for that, and a hostile one would name files that are not its own.
Part of the hot path's start: no import but this room's own.

The format is Protocol Buffers' wire format
(https://protobuf.dev/programming-guides/encoding/) with the field numbers of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.models.errors import BundleDamaged

# Where messages that may hold a tensor lie: by kind of message, field number -> kind of message.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function", 20: "training"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _LENGTH, _VARINT, _FIXED64, _FIXED32 = 13, 2, 0, 1, 5
_DEEPEST = 64


def refuse_external_data(content: bytes) -> None:
    """Raise if a tensor of the graph keeps its values elsewhere.

    Raises:
        BundleDamaged: One does, or the file is no ONNX graph.
    """
    if not content or content[0] not in {0x08, 0x12, 0x3A, 0x42}:
        raise _no_graph()
    if b"location" not in content:  # the key that names the file; without it there is none
        return
    try:
        found = any(_external(content, "model", 0))
    except (IndexError, RecursionError) as error:
        raise _no_graph() from error
    if found:
        raise BundleDamaged(
            "The ONNX graph keeps values in other files.",
            expected="a graph with all of its values inside",
            hint="Save it with onnx.save(model, path, save_as_external_data=False).",
        )


def _no_graph() -> BundleDamaged:
    return BundleDamaged("The file is no ONNX graph.", expected="a model in ONNX's binary form")


def _external(message: bytes, kind: str, depth: int) -> Iterator[bool]:
    if depth > _DEEPEST:
        raise RecursionError
    for number, wire, value in _fields(message):
        if kind == "tensor":
            yield number == _EXTERNAL_DATA
        elif wire == _LENGTH and number in _INSIDE[kind]:
            yield from _external(value, _INSIDE[kind][number], depth + 1)


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire, value = key & 7, b""
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire == _LENGTH:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise IndexError
            value, at = message[at : at + size], at + size
        elif wire in {_FIXED64, _FIXED32}:
            at += 8 if wire == _FIXED64 else 4
        else:
            raise IndexError
        yield key >> 3, wire, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
