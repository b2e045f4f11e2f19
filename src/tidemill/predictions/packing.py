"""Columns of numbers as they lie in memory, inside a record: nothing is unpacked for the log.

Part of the hot path. A list is written as a list; an array of numbers as its type, its width and
its bytes, which costs a copy and no object a value.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

ARRAY = 1
"""The code of MessagePack's extension type that holds an array."""
_NUMBERS = frozenset("biuf")


def packed(value: Any) -> Any:
    """Return what stands in a record for a value that MessagePack does not know.

    Raises:
        NotImplementedError: It is no array.

    Example:
        >>> record = msgspec.msgpack.encode({"a": np.array([1.5, 2.5])}, enc_hook=packed)
        >>> msgspec.msgpack.decode(record, ext_hook=unpacked)
        {'a': [1.5, 2.5]}
    """
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a {type(value).__name__} cannot be logged")
    if value.dtype.kind not in _NUMBERS or value.ndim not in (1, 2):
        return value.tolist()
    width = value.shape[1] if value.ndim == 2 else 0
    head = f"{value.dtype.str},{width}\0".encode()
    return msgspec.msgpack.Ext(ARRAY, head + value.tobytes())


def unpacked(code: int, data: memoryview) -> Any:
    """Return the values of an array as lists; NaN in one stands for a missing value."""
    if code != ARRAY:
        return msgspec.msgpack.Ext(code, bytes(data))
    content = bytes(data)
    head, _, body = content.partition(b"\0")
    kind, _, width = head.decode().partition(",")
    values: NDArray[Any] = np.frombuffer(body, dtype=np.dtype(kind))
    if int(width):
        return values.reshape(-1, int(width)).tolist()
    listed: list[Any] = values.tolist()
    if values.dtype.kind == "f" and np.isnan(values).any():
        listed = [None if value != value else value for value in listed]  # noqa: PLR0124
    return listed
