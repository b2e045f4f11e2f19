"""Looks at every blob, so that damage is found before the blob is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from tidemill.storage.blobs.errors import BlobNotFound
from tidemill.storage.blobs.protocol import BlobStore

CHUNK = 1 << 20


class Scrubbed(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at every blob found.

    Attributes:
        checked: How many blobs were read.
        size: Their bytes together.
        damaged: The digests of those whose bytes have changed.
    """

    checked: int
    size: int
    damaged: tuple[str, ...]


def scrub(store: BlobStore, *, on_progress: Callable[[int], None] | None = None) -> Scrubbed:
    """Read every blob and compare it with its name, in constant memory.

    Args:
        store: The store. It may be in use.
        on_progress: Called with the number of blobs that were read so far.
    """
    checked = size = 0
    damaged = []
    for digest in store.digests():
        try:
            read, found = _digest(store, digest)
        except BlobNotFound:  # collected meanwhile
            continue
        checked += 1
        size += read
        if found != digest:
            damaged.append(digest)
        if on_progress is not None:
            on_progress(checked)
    return Scrubbed(checked=checked, size=size, damaged=tuple(sorted(damaged)))


def _digest(store: BlobStore, digest: str) -> tuple[int, str]:
    hasher = hashlib.sha256()
    size = 0
    with store.open(digest) as stream:
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    return size, hasher.hexdigest()
