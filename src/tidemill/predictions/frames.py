"""Framed records in a file: length, checksum, payload. A torn tail is recognised and left out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct("<II")
MAX_PAYLOAD = 256 << 20


def frame(payload: bytes) -> bytes:
    """Return a record as it stands in the file.

    Example:
        >>> len(frame(b"abc"))
        11
    """
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Go through the whole records of a segment from an offset on.

    Reading ends before the first record that is not whole: it is being written, or was torn by a
    crash. A record whose checksum is wrong, with others behind it, is passed over.

    Yields:
        The offset behind the record, and its payload.
    """
    content = _read(path, offset)
    at = 0
    while at + _HEAD.size <= len(content):
        size, checksum = _HEAD.unpack_from(content, at)
        end = at + _HEAD.size + size
        if size > MAX_PAYLOAD or end > len(content):
            return
        payload = content[at + _HEAD.size : end]
        if zlib.crc32(payload) == checksum:
            yield offset + end, payload
        elif end == len(content):
            return
        at = end


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()
