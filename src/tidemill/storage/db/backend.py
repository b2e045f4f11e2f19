"""The seam between the writer and a kind of database."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, Engine


class Backend(Protocol):
    """What differs between SQLite and PostgreSQL.

    Attributes:
        writers: Gives the writer's connection, one at a time.
        readers: Gives connections that see one consistent state and cannot write.
    """

    @property
    def writers(self) -> Engine: ...

    @property
    def readers(self) -> Engine: ...

    def alive(self, connection: Connection) -> bool:
        """Tell whether a connection that was idle can still be used."""
        ...

    def loses_transaction(self, error: BaseException) -> bool:
        """Tell whether an error took the whole transaction, not only the request that met it."""
        ...

    def explain(self, error: BaseException, *, committing: bool = False) -> BaseException:
        """Return the error in Tidemill's words where there are some, or else the error itself.

        Args:
            error: What the driver raised.
            committing: Whether it came from COMMIT, so that the outcome may be in doubt.
        """
        ...

    def settle(self, connection: Connection) -> None:
        """Do what is to be done between two batches, when nobody waits for it."""
        ...

    def make_reclaimable(self) -> None:
        """Change a database that an older version made, so that it can give space back."""
        ...

    def reclaim(self, connection: Connection) -> int:
        """Give some of the space that deleted rows took back; return how many bytes it was."""
        ...
