"""The digest of a stream, computed beside whoever reads and writes it."""

from __future__ import annotations

import hashlib
from queue import SimpleQueue
from threading import Thread
from types import TracebackType

PIECE = 1 << 20
"""The largest piece, in bytes."""
BUFFERS = 4
"""How many pieces are under way at most: enough that neither side has to be woken for each."""


class Hasher:
    """SHA-256 of pieces, which are hashed while the next ones are read and written.

    The pieces lie in buffers that go around, since memory that is new for each would cost as much
    as to read it: `buffer()` gives a free one, and `feed()` takes it back.

    Args:
        piece: How large a piece may be, in bytes.

    Example:
        >>> with Hasher(3) as hasher:
        ...     buffer = hasher.buffer()
        ...     buffer[:3] = b"abc"
        ...     hasher.feed(buffer, 3)
        ...     hasher.digest()[:8]
        'ba7816bf'
    """

    def __init__(self, piece: int = PIECE) -> None:
        self._sha = hashlib.sha256()
        self._size = piece
        self._made = 0
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self._fed: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def __enter__(self) -> Hasher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._settle()

    def buffer(self) -> bytearray:
        """Return a buffer for the next piece, as soon as one is free."""
        if self._free.empty() and self._made < BUFFERS:
            self._made += 1
            return bytearray(self._size)
        return self._free.get()

    def feed(self, buffer: bytearray, size: int) -> None:
        """Take a buffer back whose first `size` bytes are the next piece."""
        if self._thread is None and size < PIECE:  # the first is the last as a rule
            self._take(buffer, size)
            return
        if self._thread is None:
            self._thread = Thread(target=self._work, name="tidemill-hasher", daemon=True)
            self._thread.start()
        self._fed.put((buffer, size))

    def digest(self) -> str:
        """Return the digest of all, as 64 hexadecimal digits."""
        self._settle()
        return self._sha.hexdigest()

    def _work(self) -> None:
        while (fed := self._fed.get()) is not None:
            self._take(*fed)

    def _take(self, buffer: bytearray, size: int) -> None:
        with memoryview(buffer)[:size] as piece:
            self._sha.update(piece)
        self._free.put(buffer)

    def _settle(self) -> None:
        if self._thread is not None:
            self._fed.put(None)
            self._thread.join()
            self._thread = None
