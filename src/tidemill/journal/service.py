"""The append-only list of facts: event log and audit log in one, and subscriptions to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from tidemill.core.clock import Clock, SystemClock
from tidemill.core.events import Event, Fact
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal import store
from tidemill.journal.errors import FactNotFound
from tidemill.storage.db.engine import Database

_MACHINE = SystemClock()


class Journal:
    """What happened, in order.

    A room appends within its own write, so that a change and the fact of it are one transaction.

    Args:
        db: The database.
        clock: Dates the facts.
        ids: Names them.
    """

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._encoder = msgspec.json.Encoder()
        self._grown = threading.Condition()
        self._commits = 0
        db.watch(self._wake)

    def append(
        self,
        connection: Connection,
        event: Event,
        *,
        subject: Ref,
        actor: str,
        cause: str | None = None,
    ) -> Fact:
        """Append a fact inside a room's own write.

        Args:
            connection: The connection of that write.
            event: What happened.
            subject: What it is about.
            actor: Who did it.
            cause: The id of the fact that led to it.
        """
        data = self._encoder.encode(event)
        values: dict[str, object] = {
            "id": self._ids.new(),
            "time": self._clock.now(),
            "type": event.type,
            "subject": str(subject),
            "actor": actor,
            "cause": cause,
        }
        position = store.add(connection, values | {"data": data.decode()})
        return msgspec.convert(
            values | {"position": position, "data": msgspec.Raw(data)}, Fact, strict=False
        )

    def record(self, event: Event, *, subject: Ref, actor: str, cause: str | None = None) -> Fact:
        """Append a fact in a write of its own, and return it once it is durable."""
        return self._db.write(
            lambda c: self.append(c, event, subject=subject, actor=actor, cause=cause)
        )

    def read(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        types: Sequence[str] = (),
        subject: Ref | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[Fact]:
        """Return facts beyond a position.

        Args:
            after: The position after which to begin.
            before: The position before which to end; the end of the journal where it is left out.
            types: Only facts of these types; all where it is empty.
            subject: Only facts about this.
            newest_first: Whether the newest come first.
            limit: How many at the most.
        """
        position = store.facts.c.position
        query = select(store.facts).where(position > after)
        if before is not None:
            query = query.where(position < before)
        if types:
            query = query.where(store.facts.c.type.in_(types))
        if subject is not None:
            query = query.where(store.facts.c.subject == str(subject))
        query = query.order_by(position.desc() if newest_first else position).limit(limit)
        with self._db.read() as connection:
            return [store.fact(row) for row in connection.execute(query)]

    def get(self, identifier: str) -> Fact:
        """Return the fact of that id.

        Raises:
            FactNotFound: There is none.
        """
        with self._db.read() as connection:
            row = connection.execute(
                select(store.facts).where(store.facts.c.id == identifier)
            ).first()
        if row is None:
            raise FactNotFound(f"There is no fact {identifier!r} in the journal.")
        return store.fact(row)

    def head(self) -> int:
        """Return the position of the newest fact, 0 where there is none."""
        with self._db.read() as connection:
            return store.newest(connection)

    def subscribe(self, name: str, types: Sequence[str] = ()) -> Subscription:
        """Return a subscription, which goes on where it was after a restart."""
        return Subscription(self._db, self, name, tuple(types))

    def wait(self, after: int, timeout: float) -> bool:
        """Wait for a fact beyond a position; tell whether there is one.

        Args:
            after: The position.
            timeout: In seconds of the machine's time, whatever the journal's clock says.
        """
        deadline = _MACHINE.monotonic() + timeout
        while True:
            seen = self._commits
            if self.head() > after:
                return True
            # Never read while the condition is held: the writer needs it after each commit.
            with self._grown:
                while self._commits == seen:
                    left = deadline - _MACHINE.monotonic()
                    if left <= 0 or not self._grown.wait(left):
                        return False

    def _wake(self) -> None:
        with self._grown:
            self._commits += 1
            self._grown.notify_all()


class Subscription:
    """A reader of the journal that remembers how far it came, across restarts.

    Each fact is given at least once: one that was shown and not acknowledged is shown again.
    """

    def __init__(self, db: Database, journal: Journal, name: str, types: tuple[str, ...]) -> None:
        self._db = db
        self._journal = journal
        self.name = name
        self.types = types

    @property
    def position(self) -> int:
        """Up to where everything is acknowledged."""
        with self._db.read() as connection:
            return store.position_of(connection, self.name) or 0

    def pending(self, limit: int = 1000) -> list[Fact]:
        """Return the oldest facts that are not acknowledged."""
        return self._journal.read(after=self.position, types=self.types, limit=limit)

    def acknowledge(self, position: int) -> None:
        """Never show facts up to `position` again."""
        self._db.write(lambda c: self.advance(c, position))

    def advance(self, connection: Connection, position: int) -> None:
        """Acknowledge inside a write: what was made of the facts is kept with it, or neither is."""
        store.set_position(connection, self.name, position)
