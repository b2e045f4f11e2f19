"""What can go wrong in the cellar's database."""

from __future__ import annotations

from tidemill.core.errors import Busy, Conflict, OutOfSpace, Refused, TidemillError, Usage


class StorageError(TidemillError):
    """The branch of everything that goes wrong in storage."""


class BadDatabaseUrl(StorageError, Usage):
    """The database's URL is not one that Tidemill can open."""


class DatabaseBusy(StorageError, Busy):
    """Too many writes are waiting, another program holds the database, or it is closed."""


class DatabaseUnreachable(StorageError, Busy):
    """The database's server does not answer, or its file cannot be opened."""


class DatabaseOwned(StorageError, Conflict):
    """Another Tidemill writes to this database."""


class DatabaseTooNew(StorageError, Conflict):
    """The home was written by a newer Tidemill."""


class DatabaseNotOurs(StorageError, Conflict):
    """Another program keeps its tables in the database."""


class DatabaseDamaged(StorageError, Conflict):
    """The database does not pass its own check."""


class DatabaseReadOnly(StorageError, Refused):
    """The database cannot be written: its disk is read-only, or permission is missing."""


class NetworkFileSystem(StorageError, Refused):
    """SQLite on a network file system loses data, so it is not opened there."""


class DiskFull(StorageError, OutOfSpace):
    """There is no room to write; reads still work."""


class WriteInDoubt(StorageError, Busy):
    """The disk or the connection failed during COMMIT: whether the write was kept is not known.

    Every verb of Tidemill may be repeated, so the thing to do is to ask again.
    """
