"""Findings that stand until they end: each is said once when it begins, and once when it is over.

What stands is kept in the database and written together with the fact that says so; a restart at
any moment neither repeats a finding nor loses one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Column, Connection, String, Table, delete, insert, select

from tidemill.core.findings import FindingKind
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring.events import FindingEnded, FindingRaised
from tidemill.monitoring.records import Finding
from tidemill.storage.db.engine import Database
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Record

ACTOR = "monitoring"
Step = Callable[[Connection], None]

standing = Table(
    "monitoring_standing",
    metadata,
    Column("subject", String(300), primary_key=True),
    Column("kind", String(30), primary_key=True),
    Column("about", String(250), primary_key=True),
    Column("finding", Record(Finding), nullable=False),
)


class Episodes:
    """Begins and ends findings that stand.

    Args:
        db: The database.
        journal: Where they are written down.
    """

    def __init__(self, db: Database, journal: Journal) -> None:
        self._db = db
        self._journal = journal

    def standing(self, subject: Ref | None = None) -> list[Finding]:
        """Return what stands, of one subject or of all."""
        query = select(standing.c.finding)
        if subject is not None:
            query = query.where(standing.c.subject == str(subject))
        with self._db.read() as connection:
            return list(connection.scalars(query.order_by(standing.c.subject, standing.c.about)))

    def begin(self, subject: Ref, finding: Finding, *, also: Step | None = None) -> bool:
        """Say a finding, unless it stands already; return whether it was said.

        Args:
            subject: What it is about.
            finding: What was found; its kind and `about` tell it from others of the subject.
            also: What is written together with it.
        """
        key = _key(subject, finding.kind, finding.about)

        def work(connection: Connection) -> bool:
            if also is not None:
                also(connection)
            if connection.scalar(select(standing.c.kind).filter_by(**key)) is not None:
                return False
            connection.execute(insert(standing), key | {"finding": finding})
            raised = FindingRaised(finding=finding)
            self._journal.append(connection, raised, subject=subject, actor=ACTOR)
            return True

        return self._db.write(work)

    def end(self, subject: Ref, kind: FindingKind, about: str, message: str) -> bool:
        """Say that a finding is over, if it stands; return whether it was said."""
        key = _key(subject, kind, about)

        def work(connection: Connection) -> bool:
            known = connection.scalar(select(standing.c.finding).filter_by(**key))
            if known is None:
                return False
            connection.execute(delete(standing).filter_by(**key))
            ended = FindingEnded(
                kind=kind,
                endpoint=known.endpoint,
                model=known.model,
                about=about,
                message=message,
            )
            self._journal.append(connection, ended, subject=subject, actor=ACTOR)
            return True

        return self._db.write(work)

    def settle(self, subject: Ref, found: Sequence[Finding], over: dict[str, str]) -> list[Finding]:
        """Begin what was found and end what is over; return what was said anew.

        Args:
            subject: What it is about.
            found: What holds now.
            over: By `about`, why a finding of the same kinds holds no more.
        """
        said = [finding for finding in found if self.begin(subject, finding)]
        for known in self.standing(subject):
            if known.about in over:
                self.end(subject, known.kind, known.about, over[known.about])
        return said


def _key(subject: Ref, kind: FindingKind, about: str) -> dict[str, str]:
    return {"subject": str(subject), "kind": kind, "about": about}
