"""What names a blob, and what names a folder of them."""

from __future__ import annotations

import msgspec


class Blob(msgspec.Struct, frozen=True):
    """Bytes in the store.

    Attributes:
        digest: SHA-256 as 64 hex digits: the name.
        size: In bytes.
    """

    digest: str
    size: int


class TreeEntry(msgspec.Struct, frozen=True):
    """One file of a stored folder.

    Attributes:
        path: Relative, with forward slashes.
        digest: The file's blob.
        size: In bytes.
    """

    path: str
    digest: str
    size: int
