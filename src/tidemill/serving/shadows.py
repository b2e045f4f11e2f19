"""Keeps how shadows compare with what was answered, and writes down how that grows."""

from __future__ import annotations

from sqlalchemy import Connection

from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.serving import store
from tidemill.serving.events import ShadowCompared
from tidemill.serving.evidence import ShadowReport
from tidemill.storage.db.engine import Database

LEAST_TOLD = 32
"""With fewer requests a comparison is kept and shown, and no fact yet."""


class ShadowReports:
    """The comparisons of shadows.

    Args:
        db: The database.
        journal: Where they are written down, whenever there are twice as many requests.
    """

    def __init__(self, db: Database, journal: Journal) -> None:
        self._db = db
        self._journal = journal

    def of(self, endpoint: str) -> list[ShadowReport]:
        """Return the newest comparison of every version that was ever mirrored, newest first."""
        with self._db.read() as connection:
            return store.read_shadows(connection, endpoint)

    def keep(self, report: ShadowReport, *, actor: str) -> None:
        """Keep a comparison in place of an older one of the same version.

        Args:
            report: The comparison.
            actor: Who made it.
        """

        def work(connection: Connection) -> None:
            known = {s.version: s for s in store.read_shadows(connection, report.endpoint)}
            before = known.get(report.version)
            if before is not None and before.rows == report.rows and _same(before, report):
                return
            store.set_shadow(connection, report)
            known_doublings = 0 if before is None else _doublings(before)
            if report.requests >= LEAST_TOLD and _doublings(report) != known_doublings:
                self._tell(connection, report, actor)

        self._db.write(work)

    def _tell(self, connection: Connection, report: ShadowReport, actor: str) -> None:
        event = ShadowCompared(
            endpoint=report.endpoint,
            version=report.version,
            requests=report.requests,
            agreement=report.agreement,
            mean_difference=report.mean_difference,
            largest_difference=report.largest_difference,
            loss_difference=report.loss_difference,
        )
        subject = Ref("endpoint", report.endpoint)
        self._journal.append(connection, event, subject=subject, actor=actor)


def _same(before: ShadowReport, after: ShadowReport) -> bool:
    return (before.since, before.labelled) == (after.since, after.labelled)


def _doublings(report: ShadowReport) -> int:
    return report.requests.bit_length()
