"""The seam: what any blob store must do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from tidemill.storage.blobs.records import Blob


class BlobStore(Protocol):
    """Keeps immutable bytes under their digest.

    Any number of threads and processes may use one store at a time. `put` returns only when the
    bytes survive a power loss; putting the same bytes twice is the same as once.
    """

    def put(self, source: bytes | BinaryIO | Path) -> Blob:
        """Store bytes, a stream or a file, in constant memory.

        Raises:
            NoSpaceForBlobs: The disk is nearly full; nothing was stored.
        """
        ...

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading.

        Raises:
            BlobNotFound: There is none of that digest.
        """
        ...

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes, checked against the digest.

        Raises:
            BlobNotFound: There is none of that digest.
            BlobDamaged: The bytes have changed.
        """
        ...

    def locate(self, digest: str) -> Path:
        """Return a local file with the bytes, which nobody may change.

        Raises:
            BlobNotFound: There is none of that digest.
        """
        ...

    def has(self, digest: str) -> bool:
        """Tell whether a blob is there."""
        ...

    def digests(self) -> Iterator[str]:
        """Go through the digests of all blobs, in no particular order."""
        ...

    def delete(self, digest: str) -> None:
        """Remove a blob; one that is not there is no error."""
        ...
