"""Which stored files are alive: those that a row mentions, and those in folders so mentioned."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, Table

from tidemill.storage.blobs.collection import reachable
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.mentions import mentioned

_MANIFEST = b'[{"digest":"'
_EMPTY = b"[]"


def living(
    connection: Connection, tables: Iterable[Table], store: BlobStore, *, folders: Collection[str]
) -> set[str]:
    """Return the digests of all blobs that are alive.

    Args:
        connection: Whose state is looked at.
        tables: Every table whose rows keep alive what they mention.
        store: Where the blobs lie.
        folders: Digests that are known to be those of stored folders; others are told by their
            first bytes.

    Raises:
        BlobDamaged: A folder's manifest cannot be read, so its files are not known.
    """
    found = {digest for digest in mentioned(connection, tables) if store.has(digest)}
    trees = {d for d in found if d in folders or _looks_like_folder(store, d)}
    return reachable(store, blobs=found, trees=trees)


def _looks_like_folder(store: BlobStore, digest: str) -> bool:
    with store.open(digest) as stream:
        beginning = stream.read(len(_MANIFEST))
    return beginning in {_MANIFEST, _EMPTY}
