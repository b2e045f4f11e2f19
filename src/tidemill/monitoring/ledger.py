"""Writes down what came of a window: its report, its sums, and the facts, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from tidemill.core.findings import FindingKind
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring import store
from tidemill.monitoring.events import FindingRaised, WindowJudged
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.monitoring.state import BlockState
from tidemill.storage.db.engine import Database

ACTOR = "monitoring"


class Ledger:
    """Keeps windows.

    Args:
        db: The database.
        journal: Where findings are written down.
    """

    def __init__(self, db: Database, journal: Journal) -> None:
        self._db = db
        self._journal = journal

    def enter(
        self,
        connection: Connection,
        report: WindowReport,
        findings: Sequence[Finding],
        states: Sequence[BlockState],
        clear: tuple[FindingKind, ...],
    ) -> None:
        """Write what came of a window, as a part of a transaction.

        Args:
            connection: The transaction's.
            report: What is known of the window.
            findings: What is said of it now.
            states: The sums of its blocks.
            clear: What it shows to be well, so that alerts of it end.
        """
        store.set_window(connection, report)
        store.set_states(connection, report.endpoint, report.model, states)
        subject = Ref("endpoint", report.endpoint)
        judged = WindowJudged(
            endpoint=report.endpoint,
            version=report.version,
            predictions=report.predictions,
            coverage=report.coverage,
            findings=len(findings),
            since=report.since,
            until=report.until,
            clear=clear,
        )
        fact = self._journal.append(connection, judged, subject=subject, actor=ACTOR)
        for finding in findings:
            raised = FindingRaised(finding=finding)
            self._journal.append(connection, raised, subject=subject, actor=ACTOR, cause=fact.id)

    def amend(
        self,
        known: WindowReport,
        report: WindowReport,
        findings: Sequence[Finding],
        states: Sequence[BlockState],
        clear: tuple[FindingKind, ...],
    ) -> list[Finding]:
        """Write what came of a window that was judged before; return what was not said then.

        Args:
            known: What was known of it.
            report: What is known now.
            findings: What it shows now, said or not.
            states: The sums of its blocks.
            clear: What it shows to be well.
        """
        new = [f for f in findings if f.kind not in known.found]
        told = (*known.found, *(f.kind for f in new))
        whole = msgspec.structs.replace(report, found=told)
        self._db.write(lambda connection: self.enter(connection, whole, new, states, clear))
        return new
