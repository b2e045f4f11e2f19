"""A request's body as a file: the event loop pours in what arrives, and a thread reads it."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.core.errors import InvalidData

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 20
"""Bytes of a block, in which long bodies arrive."""
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
        self._pieces: deque[bytes | memoryview] = deque()
        self._at = 0
        self._spare: list[bytearray] = []
        self._waiting = 0
        self._paused = self._whole = self._broken = self._unwanted = False

    def space(self) -> bytearray:
        """Return a block to be filled and then poured in; it may have been used before."""
        with self._changed:
            return self._spare.pop() if self._spare else bytearray(BLOCK)

    def pour(self, piece: bytes | memoryview) -> None:
        """Add a piece, of a block or of its own; where nobody reads any more, it is let go of."""
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

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer with what there is of the next piece; return how much, at the end 0.

        Raises:
            BrokenOff: The client has gone.
        """
        piece = self._first()
        with memoryview(buffer) as view, memoryview(piece) as rest:
            got = min(len(view), len(rest) - self._at)
            view[:got] = rest[self._at : self._at + got]
        self._at += got
        if got:
            self._take_away(piece, got)
        return got

    def _first(self) -> bytes | memoryview:
        """Return the piece that is read, or none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._whole or self._broken)
            if self._broken:
                raise BrokenOff("The upload was broken off: nothing of it was kept.")
            return self._pieces[0] if self._pieces else b""

    def _take_away(self, piece: bytes | memoryview, got: int) -> None:
        with self._changed:
            if self._at == len(piece):
                self._at = 0
                self._pieces.popleft()
                if isinstance(piece, memoryview) and isinstance(piece.obj, bytearray):
                    self._spare.append(piece.obj)
            self._waiting -= got
            room = self._paused and self._waiting < LEAST
            self._paused &= not room
        if room:
            self._resume()

    def close(self) -> None:
        """Let go of what was not read, and of all that comes still."""
        with self._changed:
            self._unwanted = True
            self._pieces.clear()
            paused, self._paused = self._paused, False
        if paused:
            self._resume()
        super().close()
