"""The digest of a stream, computed beside whoever reads and writes it."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

ALONE = 1 << 18
"""Bytes of a piece from which on a thread of its own costs less than it saves."""


class Hasher:
    """SHA-256 of pieces, each of which is hashed while the next is read and written.

    Example:
        >>> with Hasher() as hasher:
        ...     hasher.feed(b"")
        ...     hasher.digest()[:8]
        'e3b0c442'
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tidemill-hasher")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Hasher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._threads.shutdown()

    def feed(self, piece: bytes | bytearray) -> None:
        """Take the next piece, which must not change any more."""
        self._settle()
        if len(piece) < ALONE:
            self._sha.update(piece)
        else:
            self._pending = self._threads.submit(self._sha.update, piece)

    def digest(self) -> str:
        """Return the digest of all, as 64 hexadecimal digits."""
        self._settle()
        return self._sha.hexdigest()

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None
