"""Tensors of the Open Inference Protocol, in JSON and in binary, to columns and back.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from tidemill.core.errors import nearest
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.serving.worker.rows import Inputs, Rows, packed

MATRIX_NAMES = frozenset(
    {
        *("x", "input", "inputs", "predict"),
        *("input-0", "input-1", "input_0", "input0", "input__0"),
    }
)
"""Names under which a model without text takes all of its columns as one tensor."""
_INTEGERS: dict[str, Any] = {
    "INT8": Annotated[int, Meta(ge=-(2**7), lt=2**7)],
    "INT16": Annotated[int, Meta(ge=-(2**15), lt=2**15)],
    "INT32": Annotated[int, Meta(ge=-(2**31), lt=2**31)],
    "INT64": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "UINT8": Annotated[int, Meta(ge=0, lt=2**8)],
    "UINT16": Annotated[int, Meta(ge=0, lt=2**16)],
    "UINT32": Annotated[int, Meta(ge=0, lt=2**32)],
    "UINT64": Annotated[int, Meta(ge=0)],
}
_VALUES: dict[str, Any] = {
    **_INTEGERS,
    "FP32": float,
    "FP64": float,
    "BOOL": bool,
    "BYTES": str,
}
_FLAT = {n: msgspec.json.Decoder(list[v | None]) for n, v in _VALUES.items()}  # type: ignore[valid-type]
_DEEPEST = 8
_DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": "<u2",  # what NumPy has no name for: the upper half of an FP32
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = (*_DTYPES, "BYTES")
INTEGERS = {
    name: (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for name, dtype in _DTYPES.items()
    if "INT" in name
}
"""The smallest and the largest value of each datatype of whole numbers."""
_FITS = {
    "string": frozenset({"BYTES"}),
    "bool": frozenset({"BOOL"}),
    "datetime": frozenset({"BYTES", "INT64", "FP64"}),
    "date": frozenset({"BYTES", "INT64", "FP64"}),
}
FLOATS = frozenset({"FP32", "FP64"})
_NUMBERS = frozenset(_DTYPES) - {"BOOL"}
_DECLARED = {
    "string": "BYTES",
    "datetime": "BYTES",
    "date": "BYTES",
    "bool": "BOOL",
    "int": "INT64",
}
_MOST = 1 << 40
_FEW_VALUES = 1024
_PACKED = {"BOOL": "?", "INT64": "q", "FP64": "d"}
"""What answers hold, for `struct`."""
Parameter = bool | int | float | str
Parameters = dict[str, Parameter | None] | None


class Tensor(msgspec.Struct):
    """One input of a request.

    Attributes:
        name: Of a column, or of the matrix of all of them.
        shape: `[n]` or `[n, 1]` for a column, `[n, features]` for the matrix.
        datatype: `FP64`, `INT64`, `BOOL`, `BYTES`, …
        data: In JSON, flat or nested.
        parameters: `binary_data_size`, where the data are in the binary part.
    """

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: Parameters = None


class Floats(msgspec.Struct):
    """A tensor of floating-point numbers, flat, read in one go."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | None]
    parameters: Parameters = None


def declared(type_: str) -> str:
    """Return the datatype that the metadata of a column of a type declares.

    Example:
        >>> declared("string"), declared("float")
        ('BYTES', 'FP64')
    """
    return _DECLARED.get(type_, "FP64")


def rows_of(tensors: Sequence[Tensor | Floats], values: Sequence[Values], inputs: Inputs) -> Rows:
    """Return the rows of a request's tensors, whose values were read before.

    Raises:
        InvalidInput: They do not fit what the model takes.
    """
    if len(tensors) == 1 and _is_matrix(tensors[0], inputs):
        return _matrix_rows(tensors[0], values[0], inputs)
    columns: dict[str, Values] = {}
    for tensor, column in zip(tensors, values, strict=True):
        name = tensor.name
        if name in columns:
            raise InvalidInput(f"Input {name!r} came twice.", column=name, expected="it once")
        if len(tensor.shape) > 1 and math.prod(tensor.shape[1:]) != 1:
            raise InvalidInput(
                f"Input {name!r} has shape {tensor.shape}.",
                column=name,
                expected="[n] or [n, 1]: one value a row",
            )
        _check_type(tensor, inputs)
        columns[name] = column
    return inputs.rows(columns)


def read_json(tensor: Tensor) -> Values:
    """Return the values of a tensor whose data are in JSON, flat.

    Raises:
        InvalidInput: They are of another type, or not as many as the shape says.
    """
    name, datatype = tensor.name, tensor.datatype
    decoder = _FLAT.get(datatype)
    if decoder is None:
        raise _unknown_datatype(tensor)
    raw = bytes(tensor.data)
    if not raw:
        raise InvalidInput(f"Input {name!r} has no data.", column=name, expected="a list in `data`")
    try:
        values = _decode(raw, tensor)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"Input {name!r} ({datatype}): {error}.", column=name) from None
    check_size(tensor, len(values))
    return values


def read_binary(tensor: Tensor, data: bytes) -> Values:
    """Return the values of a tensor whose data came in binary, flat.

    Raises:
        InvalidInput: They are not as many as the shape says.
    """
    name, datatype = tensor.name, tensor.datatype
    if datatype == "BYTES":
        texts = _strings(name, data)
        check_size(tensor, len(texts))
        return texts
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise _unknown_datatype(tensor)
    expected = _size(tensor) * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise InvalidInput(
            f"Input {name!r} has {len(data)} bytes of data.",
            column=name,
            expected=f"{expected} for shape {tensor.shape} of {datatype}",
        )
    array: NDArray[Any] = np.frombuffer(data, dtype=dtype)
    if datatype == "BF16":
        return (array.astype("<u4") << 16).view("<f4")
    if datatype == "BOOL" and (found := array.view("u1").max(initial=0)) > 1:
        raise InvalidInput(
            f"Input {name!r} (BOOL) has a byte {found}.", column=name, expected="0 or 1"
        )
    return array


def write_binary(values: Any, datatype: str) -> bytes:
    """Return values as they stand in the binary part of a response."""
    if datatype == "BYTES":
        texts = [str(v).encode() for v in values]
        return b"".join(struct.pack("<I", len(t)) + t for t in texts)
    if values.__class__ is list and len(values) <= _FEW_VALUES:
        return struct.pack(f"<{len(values)}{_PACKED[datatype]}", *values)
    return np.asarray(values, dtype=_DTYPES[datatype]).tobytes()


def _decode(raw: bytes, tensor: Tensor) -> list[Any]:
    """Return values, flat or nested as the shape says, row by row."""
    try:
        return _FLAT[tensor.datatype].decode(raw)
    except msgspec.ValidationError:
        depth = len(tensor.shape)
        if raw[:64].translate(None, b" \t\r\n")[:2] != b"[[" or not 2 <= depth <= _DEEPEST:
            raise
    rows: list[Any] = _nested(tensor.datatype, depth).decode(raw)
    for width in tensor.shape[1:]:
        odd = next((row for row in rows if len(row) != width), None)
        if odd is not None:
            raise InvalidInput(
                f"Input {tensor.name!r} has a list of {len(odd)} values.",
                column=tensor.name,
                expected=f"lists of {width}, for shape {tensor.shape}",
            )
        rows = [value for row in rows for value in row]
    return rows


@lru_cache(64)
def _nested(datatype: str, depth: int) -> msgspec.json.Decoder[Any]:
    kind = _VALUES[datatype] | None
    for _ in range(depth):
        kind = list[kind]  # type: ignore[valid-type]
    return msgspec.json.Decoder(kind)


def _is_matrix(tensor: Tensor | Floats, inputs: Inputs) -> bool:
    return (
        not inputs.text
        and tensor.name not in inputs.types
        and (tensor.name in MATRIX_NAMES or tensor.name.lower() in MATRIX_NAMES)
    )


def _matrix_rows(tensor: Tensor | Floats, values: Values, inputs: Inputs) -> Rows:
    shape, width = tensor.shape, len(inputs.names)
    if len(shape) != 2 or shape[1] != width:
        raise InvalidInput(
            f"Input {tensor.name!r} has shape {shape}.",
            column=tensor.name,
            expected=f"[n, {width}], one column for each of {', '.join(inputs.names)}",
        )
    if tensor.datatype not in _NUMBERS:
        raise _wrong_type(tensor, sorted(_NUMBERS))
    if shape[0] == 0:
        raise InvalidInput("The request holds no rows.", expected="one row or more")
    if tensor.datatype in FLOATS and len(values) <= _FEW_VALUES:
        few = packed(values) if values.__class__ is list else np.asarray(values, "f8").tobytes()
        return inputs.numbers(few, shape[0])
    kind = "f4" if isinstance(values, np.ndarray) and values.dtype == "f4" else "f8"
    try:
        matrix = np.asarray(values, dtype=kind).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"Input {tensor.name!r}: {error}.", column=tensor.name) from error
    return inputs.matrix(matrix)


def _check_type(tensor: Tensor | Floats, inputs: Inputs) -> None:
    type_ = inputs.types.get(tensor.name)
    if type_ is None:
        return
    fits = _FITS.get(type_, _NUMBERS)
    if tensor.datatype not in fits:
        raise _wrong_type(tensor, sorted(fits))


def _wrong_type(tensor: Tensor | Floats, fits: list[str]) -> InvalidInput:
    return InvalidInput(
        f"Input {tensor.name!r} has datatype {tensor.datatype!r}.",
        column=tensor.name,
        expected=fits[0] if len(fits) == 1 else "one of " + ", ".join(fits),
    )


def _unknown_datatype(tensor: Tensor) -> InvalidInput:
    if tensor.datatype in _DTYPES:
        return InvalidInput(
            f"Input {tensor.name!r} has datatype {tensor.datatype} in JSON.",
            column=tensor.name,
            expected=f"{tensor.datatype} in the binary part, or FP32",
        )
    return InvalidInput(
        f"Input {tensor.name!r} has datatype {tensor.datatype!r}.",
        column=tensor.name,
        expected=nearest(tensor.datatype, DATATYPES),
    )


def _size(tensor: Tensor) -> int:
    if not tensor.shape or any(d < 0 for d in tensor.shape) or math.prod(tensor.shape) > _MOST:
        raise InvalidInput(
            f"Input {tensor.name!r} has shape {tensor.shape}.",
            column=tensor.name,
            expected="[n] or [n, 1], and n not negative",
        )
    return math.prod(tensor.shape)


def check_size(tensor: Tensor, count: int) -> None:
    """Return if a tensor has as many values as its shape says.

    Raises:
        InvalidInput: It has not.
    """
    expected = _size(tensor)
    if count != expected:
        raise InvalidInput(
            f"Input {tensor.name!r} has {count} values.",
            column=tensor.name,
            expected=f"{expected} for shape {tensor.shape}",
        )


def _strings(name: str, data: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    try:
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at)
            end = at + 4 + length
            if end > len(data):
                raise InvalidInput(
                    f"Input {name!r} has a string of {length} bytes; {len(data) - at - 4} follow.",
                    column=name,
                )
            texts.append(data[at + 4 : end].decode("utf-8"))
            at = end
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"Input {name!r} is no list of UTF-8 strings: {error}.") from None
    return texts
