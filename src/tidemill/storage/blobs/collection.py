"""Garbage: blobs that nothing names any more.

Rooms forget a blob by deleting its row first. A blob goes only when no root names it *and* nobody
has stored it for a grace period, since whoever stores one writes the row that names it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from tidemill.core.clock import Clock
from tidemill.storage.blobs.errors import BlobNotFound
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.trees import read_tree

GRACE = timedelta(days=1)


class Collectable(BlobStore, Protocol):
    """A store that can remove what is old without racing against whoever stores it again."""

    def delete_if_older(self, digest: str, moment: float) -> int | None:
        """Remove a blob that was not stored since a moment (in seconds since 1970).

        Returns:
            Its size if it was removed.
        """
        ...

    def drafts(self) -> Iterator[Path]:
        """Go through the files of puts that are under way or were killed."""
        ...


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection did, or would do.

    Attributes:
        named: Blobs that a root names.
        removed: Blobs that were taken away.
        young: Blobs that nothing names, but that were stored within the grace period.
        drafts: Files of killed puts that were taken away.
        freed: Bytes.
    """

    named: int
    removed: int
    young: int
    drafts: int
    freed: int


def reachable(store: BlobStore, *, blobs: Iterable[str], trees: Iterable[str]) -> set[str]:
    """Return the digests of everything that is named.

    Args:
        store: Where the manifests of folders are read.
        blobs: Digests of single blobs.
        trees: Digests of stored folders, whose files count too.

    Raises:
        BlobDamaged: A folder's manifest cannot be read, so its files are not known.
    """
    named = set(blobs)
    for tree in trees:
        named.add(tree)
        with suppress(BlobNotFound):
            named.update(entry.digest for entry in read_tree(store, tree))
    return named


def collect(
    store: Collectable,
    named: set[str],
    *,
    clock: Clock,
    grace: timedelta = GRACE,
    dry: bool = False,
) -> Collected:
    """Take away what nothing names.

    Args:
        store: The store.
        named: What is to stay, from `reachable`; gathered before this is called.
        clock: The machine's clock, which dates files, and never a simulated one.
        grace: How long a blob stays in any case.
        dry: Whether only to count, and to take nothing away.
    """
    moment = (clock.now() - grace).timestamp()
    kept = removed = young = freed = 0
    for digest in store.digests():
        if digest in named:
            kept += 1
            continue
        size = (
            _size_if_older(store, digest, moment) if dry else store.delete_if_older(digest, moment)
        )
        if size is None:
            young += 1
        else:
            removed += 1
            freed += size
    stale = [path for path in store.drafts() if _is_older(path, moment)]
    freed += sum(_size(path) if dry else _remove(path) for path in stale)
    return Collected(named=kept, removed=removed, young=young, drafts=len(stale), freed=freed)


def _size_if_older(store: Collectable, digest: str, moment: float) -> int | None:
    try:
        path = store.locate(digest)
    except BlobNotFound:
        return None
    return _size(path) if _is_older(path, moment) else None


def _is_older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size
