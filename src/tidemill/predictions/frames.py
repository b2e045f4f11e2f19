"""Framed records in a file: length, checksum, payload. A torn tail is recognised and left out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

_HEAD = struct.Struct("<II")
HEAD_BYTES = _HEAD.size
MAX_PAYLOAD = 256 << 20
_LIKELY = 4 << 20
"""A record that is looked for behind a damaged one is taken to be smaller than this."""


class Framed(msgspec.Struct, frozen=True):
    """A whole record: the offset behind it, and its payload."""

    end: int
    payload: bytes


class Damaged(msgspec.Struct, frozen=True):
    """A stretch that is no record, with whole ones behind it."""

    start: int
    content: bytes


class Tail(msgspec.Struct, frozen=True):
    """What stands behind the last whole record: being written, or torn by a crash."""

    start: int
    size: int


def frame(payload: bytes) -> bytes:
    """Return a record as it stands in the file.

    Example:
        >>> len(frame(b"abc"))
        11
    """
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def complete(room: bytearray) -> None:
    """Make a record of a payload that has room for the head before it.

    Example:
        >>> record = bytearray(HEAD_BYTES) + b"abc"
        >>> complete(record)
        >>> record == frame(b"abc")
        True
    """
    with memoryview(room) as whole:
        checksum = zlib.crc32(whole[HEAD_BYTES:])
    _HEAD.pack_into(room, 0, len(room) - HEAD_BYTES, checksum)


def read_frames(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Go through the whole records of a segment from an offset on.

    Reading ends before the first record that is not whole: it is being written, or was torn by a
    crash. A damaged stretch, with records behind it, is passed over.

    Yields:
        The offset behind the record, and its payload.
    """
    for found in scan(path, offset):
        if isinstance(found, Framed):
            yield found.end, found.payload


def scan(path: Path, offset: int = 0) -> Iterator[Framed | Damaged | Tail]:
    """Go through all of a segment from an offset on: records, damage, and the tail if there is one.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "s.log"
        >>> _ = path.write_bytes(frame(b"one") + b"noise!" + frame(b"two") + frame(b"three")[:9])
        >>> [type(found).__name__ for found in scan(path)]
        ['Framed', 'Damaged', 'Framed', 'Tail']
    """
    content = _read(path, offset)
    at = 0
    while at < len(content):
        end = _end(content, at)
        if end is None:
            found = _next(content, at)
            if found is None:
                yield Tail(offset + at, len(content) - at)
                return
            yield Damaged(offset + at, content[at:found])
            at = found
            continue
        yield Framed(offset + end, content[at + HEAD_BYTES : end])
        at = end


def _end(content: bytes, at: int) -> int | None:
    """Return where the record that begins here ends, if a whole one does."""
    if at + HEAD_BYTES > len(content):
        return None
    size, checksum = _HEAD.unpack_from(content, at)
    end: int = at + HEAD_BYTES + size
    if size > MAX_PAYLOAD or end > len(content):
        return None
    return end if zlib.crc32(memoryview(content)[at + HEAD_BYTES : end]) == checksum else None


def _next(content: bytes, at: int) -> int | None:
    """Return where the next whole record behind a damaged one begins.

    Where only a payload is damaged its length still says so. Else every place is a candidate that
    could be a record's head and is followed by another, or by the end.
    """
    if at + HEAD_BYTES <= len(content):
        size, _ = _HEAD.unpack_from(content, at)
        behind: int = at + HEAD_BYTES + size
        if _begins(content, behind):
            return behind
    import numpy as np

    octets = np.frombuffer(content, dtype=np.uint8)[at + 1 :].astype(np.uint32)
    if len(octets) <= HEAD_BYTES:
        return None
    sizes = octets[:-3] | octets[1:-2] << 8 | octets[2:-1] << 16 | octets[3:] << 24
    for found in np.flatnonzero((sizes > 0) & (sizes < _LIKELY)).tolist():
        start = at + 1 + found
        if _is_likely(content, start) and _end(content, start) is not None:
            return start
    return None


def _begins(content: bytes, at: int) -> bool:
    """Whether a whole record begins here, or the last one, torn."""
    if at + HEAD_BYTES > len(content):
        return False
    size, _ = _HEAD.unpack_from(content, at)
    torn = 0 < size < _LIKELY and at + HEAD_BYTES + size > len(content)
    return torn or _end(content, at) is not None


def _is_likely(content: bytes, start: int) -> bool:
    """Whether what follows the record that could begin here could be one, too, or the end."""
    if start + HEAD_BYTES > len(content):
        return False
    size, _ = _HEAD.unpack_from(content, start)
    behind = start + HEAD_BYTES + size
    if behind + HEAD_BYTES > len(content):
        return bool(behind <= len(content))
    following, _ = _HEAD.unpack_from(content, behind)
    return bool(0 < following < _LIKELY)


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()
