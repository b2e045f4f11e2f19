"""Ids for rows by the thousand: UUIDv7 as `core.ids` makes them, as one Arrow array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tidemill.core.ids import Ids

_DIGITS = 32


def make_ids(ids: Ids, count: int) -> pa.Array:
    """Return `count` new ids, in ascending order.

    Example:
        >>> from tidemill.core.clock import SystemClock
        >>> from tidemill.core.ids import is_id
        >>> made = make_ids(Ids(SystemClock()), 3).to_pylist()
        >>> made == sorted(set(made)), [is_id(i) for i in made]
        (True, [True, True, True])
    """
    if count == 0:
        return pa.nulls(0, pa.string())
    millis, start, tails = ids.reserve(count)
    steps = np.arange(start, start + count, dtype=np.uint64)
    stamps = np.uint64(millis) + (steps >> np.uint64(12))
    low = np.frombuffer(tails, dtype=">u8") & np.uint64(0x3FFFFFFFFFFFFFFF)
    words = np.empty((count, 2), dtype=">u8")
    words[:, 0] = (stamps << np.uint64(16)) | np.uint64(0x7000) | (steps & np.uint64(0xFFF))
    words[:, 1] = low | np.uint64(0x8000000000000000)
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(_DIGITS)
    text = words.tobytes().hex().encode()
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))
