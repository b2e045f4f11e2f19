"""A request's body as a file: the event loop pours in what arrives, and a thread reads it."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable

from tidemill.core.errors import InvalidData

MOST = 8 << 20
"""Bytes that may wait for the thread before no more are let in."""
LEAST = 2 << 20
"""Bytes below which more are let in again."""


class BrokenOff(InvalidData):
    """The client went away in the middle of a body."""


class Inflow(io.RawIOBase):
    """What has arrived of a body and was not read yet; never much of it.

    Args:
        pause: Is called, where it is poured in, when too much waits.
        resume: Is called, in either thread, when there is room again.
    """

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._pause = pause
        self._resume = resume
        self._changed = threading.Condition()
        self._pieces: deque[bytes | bytearray] = deque()
        self._waiting = 0
        self._paused = self._whole = self._broken = self._unwanted = False

    def pour(self, piece: bytes | bytearray) -> None:
        """Add a piece; where nobody reads any more, it is let go of."""
        with self._changed:
            if self._unwanted:
                return
            self._pieces.append(piece)
            self._waiting += len(piece)
            paused, self._paused = self._paused, self._waiting > MOST
            self._changed.notify()
        if self._paused and not paused:
            self._pause()

    def end(self) -> None:
        """Say that the body is whole."""
        with self._changed:
            self._whole = True
            self._changed.notify()

    def break_off(self) -> None:
        """Say that the rest will not come."""
        with self._changed:
            self._broken = not self._whole
            self._changed.notify()

    def read(self, size: int = -1) -> bytes | bytearray:
        """Return the next piece, or its beginning where it is longer than `size`; at the end none.

        Raises:
            BrokenOff: The client has gone.
        """
        if size < 0:
            return self.readall()
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._whole or self._broken)
            if self._broken:
                raise BrokenOff("The upload was broken off: nothing of it was kept.")
            piece = self._pieces.popleft() if self._pieces else b""
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self._waiting -= len(piece)
            room = self._paused and self._waiting < LEAST
            self._paused &= not room
        if room:
            self._resume()
        return piece

    def readall(self) -> bytes:
        """Return the rest."""
        return b"".join(iter(lambda: self.read(MOST), b""))

    def close(self) -> None:
        """Let go of what was not read, and of all that comes still."""
        with self._changed:
            self._unwanted = True
            self._pieces.clear()
            paused, self._paused = self._paused, False
        if paused:
            self._resume()
        super().close()
