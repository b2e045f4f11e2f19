"""A record that grows with each batch of requests, and what of it is the same for all.

Part of the hot path. Requests are encoded one behind the other into the bytes that will be
written, so that nothing of them is kept, copied or gone through again.
"""

from __future__ import annotations

import struct

import msgspec

from tidemill.predictions.frames import HEAD_BYTES, complete
from tidemill.predictions.packing import packed
from tidemill.predictions.requests import LoggedRequest, RequestGroup

TOGETHER = 64
"""The most requests of one record: as many are lost at most where one is damaged."""
_FULL_BYTES = 64 << 10
_COUNT = struct.Struct(">BI")
_ARRAY_32 = 0xDD
_encode_into = msgspec.msgpack.Encoder(enc_hook=packed).encode_into


class Gathering:
    """Requests of one version that are about to be written.

    Args:
        shared: What they share; it has no requests.

    Example:
        >>> gathering = Gathering(RequestGroup("m", 1, "champion", 1.0, [], [], [], []))
        >>> gathering.count, gathering.has_room(TOGETHER)
        (0, True)
    """

    __slots__ = ("_at", "_batches", "_begun", "_buffer", "count")

    def __init__(self, shared: RequestGroup) -> None:
        # An empty array at the end is one byte; a length of four bytes takes its place.
        written = msgspec.msgpack.encode(shared)[:-1]
        self._at = HEAD_BYTES + len(written)
        self._begun = bytes(HEAD_BYTES) + written + bytes(_COUNT.size)
        self._buffer = bytearray(self._begun)
        self._batches = 0
        self.count = 0

    def has_room(self, requests: int) -> bool:
        """Whether so many more requests may stand in the record."""
        return self.count + requests <= TOGETHER and len(self._buffer) < _FULL_BYTES

    def add(self, requests: list[LoggedRequest]) -> None:
        """Take requests; where one cannot be written, none of them leaves anything behind.

        Raises:
            TypeError, ValueError, OverflowError, NotImplementedError: One cannot be written.
        """
        size = len(self._buffer)
        try:
            _encode_into(requests, self._buffer, -1)
        except BaseException:
            del self._buffer[size:]
            raise
        self.count += len(requests)
        self._batches += 1

    def taken(self) -> bytearray:
        """Return what was added as a framed record, and begin anew."""
        found, self._buffer = self._buffer, bytearray(self._begun)
        _COUNT.pack_into(found, self._at, _ARRAY_32, self._batches)
        self._batches = self.count = 0
        complete(found)
        return found
