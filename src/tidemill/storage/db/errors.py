"""What can go wrong in the cellar's database."""

from __future__ import annotations

from tidemill.core.errors import Busy, Conflict, OutOfSpace, TidemillError, Usage


class StorageError(TidemillError):
    """The branch of everything that goes wrong in storage."""


class BadDatabaseUrl(StorageError, Usage):
    """The database's URL is not one that Tidemill can open."""


class DatabaseBusy(StorageError, Busy):
    """Too many writes are waiting, or the database is closed."""


class DatabaseTooNew(StorageError, Conflict):
    """The home was written by a newer Tidemill."""


class DatabaseDamaged(StorageError, Conflict):
    """The database does not pass its own check."""


class DiskFull(StorageError, OutOfSpace):
    """There is no room to write; reads still work."""
