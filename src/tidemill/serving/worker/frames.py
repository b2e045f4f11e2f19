"""HTTP/2's frames: their kinds, flags and errors, and how one is written.

References:
    https://www.rfc-editor.org/rfc/rfc9113
"""

from __future__ import annotations

import struct

DATA, HEADERS, PRIORITY, RESET, SETTINGS = 0, 1, 2, 3, 4
PUSH, PING, AWAY, WINDOW, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL, FLOW, SIZE, REFUSED, CALM = 0, 1, 3, 6, 7, 11
COMPRESSION = 9
FRAME = struct.Struct(">BHBBI")
MOST_WINDOW = (1 << 31) - 1


class Broken(Exception):
    """The client does not keep to the protocol."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """Return a frame."""
    size = len(payload)
    return FRAME.pack(size >> 16, size & 0xFFFF, kind, flags, number) + payload


def code_bytes(code: int) -> bytes:
    """Return an error's code as frames have it."""
    return code.to_bytes(4, "big")


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return a payload without its padding.

    Raises:
        Broken: There is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(PROTOCOL)
    return payload[1 : len(payload) - payload[0]]
