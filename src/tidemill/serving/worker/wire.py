"""Answers of the Open Inference Protocol over gRPC, written as they stand on the wire.

What the answers of a version share is written once; the rest are a few strings of bytes, for which
no message is built.

References:
    https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.serving.worker.outputs import Output

_STRING_PARAM = 3


class Wire:
    """The answers of one version.

    Args:
        outputs: What the version gives.
        number: Its number.
    """

    def __init__(self, outputs: Sequence[Output], number: int) -> None:
        self._outputs = outputs
        self._number = _field(2, b"%d" % number)
        self._one_row = b"".join(_tensor(output, 1) for output in outputs)

    def written(
        self,
        endpoint: str,
        rows: int,
        ids: str,
        contents: Sequence[bytes],
        *,
        outputs: Sequence[Output],
        identifier: str,
    ) -> bytes:
        """Return a `ModelInferResponse`.

        Args:
            endpoint: The endpoint's name.
            rows: How many rows it answers.
            ids: The predictions' ids, with commas between.
            contents: The values of each output in binary.
            outputs: Which of what the version gives was asked for.
            identifier: The caller's name for the request.
        """
        told = _field(2, _field(_STRING_PARAM, ids.encode()))
        if rows == 1 and outputs is self._outputs:
            tensors = self._one_row
        else:
            tensors = b"".join(_tensor(output, rows) for output in outputs)
        parts = [
            _field(1, endpoint.encode()),
            self._number,
            _field(3, identifier.encode()) if identifier else b"",
            _field(4, _IDS + told),
            tensors,
            *(_field(6, content) for content in contents),
        ]
        return b"".join(parts)


def _tensor(output: Output, rows: int) -> bytes:
    shape = _varint(rows) + (_varint(output.width) if output.width else b"")
    fields = (output.name.encode(), output.datatype.encode(), shape)
    return _field(5, b"".join(_field(n, part) for n, part in enumerate(fields, 1)))


def field_head(number: int, size: int) -> bytes:
    """Return what stands before a field that has a length: a string, a message, packed numbers."""
    if size < 128:
        return bytes((number << 3 | 2, size))
    return bytes((number << 3 | 2,)) + _varint(size)


def _field(number: int, content: bytes) -> bytes:
    return field_head(number, len(content)) + content


def _varint(value: int) -> bytes:
    """Return a whole number, seven bits a byte, the lowest first.

    Example:
        >>> _varint(300).hex()
        'ac02'
    """
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


_IDS = _field(1, b"prediction_ids")
