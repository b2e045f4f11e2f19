"""What permanent deletion did."""

from __future__ import annotations

import msgspec


class Reclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased and given back, or would be.

    Attributes:
        dry: Whether it was only looked at.
        experiments: Erased, by id.
        runs: Likewise.
        models: Logged models, likewise.
        kept: Deleted runs and logged models that stay, since a registered version needs their
            files.
        blobs: Stored files that nothing named any more.
        blob_bytes: Their bytes, and those of uploads that were never finished.
        young: Stored files that nothing names, but that are too young to go.
        folders: Unpacked bundles and leftovers of runs.
        database_bytes: What the database's file became smaller by.
    """

    dry: bool
    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    blobs: int = 0
    blob_bytes: int = 0
    young: int = 0
    folders: int = 0
    database_bytes: int = 0
