"""The monitor: reads the letterbox, joins labels, judges windows, and says what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.policy import MonitorPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring import arrivals, store
from tidemill.monitoring.belated import Belated
from tidemill.monitoring.dispatch import Dispatch, Sources
from tidemill.monitoring.endpoint_report import ColumnSpread
from tidemill.monitoring.episodes import Episodes
from tidemill.monitoring.estimate_history import estimate_history
from tidemill.monitoring.events import FindingRaised
from tidemill.monitoring.hindsight import Hindsight
from tidemill.monitoring.ledger import Ledger
from tidemill.monitoring.listening import Listening
from tidemill.monitoring.looking import References
from tidemill.monitoring.records import EstimateHistory, Finding, WindowReport
from tidemill.monitoring.tasks import Letters, Looks
from tidemill.monitoring.windows import Watched, Windows
from tidemill.storage.db.engine import Database


class Monitor:
    """Watches endpoints.

    Args:
        db: The database.
        journal: Where findings are written down.
        clock: Tells what is due.
        predictions: The letterbox's folder.
        references: Gives the reference of a model's version.
    """

    def __init__(
        self,
        db: Database,
        journal: Journal,
        clock: Clock,
        predictions: Path,
        references: References,
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._predictions = predictions
        self._dispatch = Dispatch(references)
        ledger = Ledger(db, journal)
        self._windows = Windows(db, clock, self._dispatch, ledger)
        self._belated = Belated(
            db,
            clock,
            predictions,
            dispatch=self._dispatch,
            windows=self._windows,
            ledger=ledger,
        )
        self._hindsight = Hindsight(db, self._dispatch)
        self._listening = Listening(db, Episodes(db, journal), clock)

    def look_apart(self, looks: Looks, sources: Sources) -> None:
        """Have the log read and searched, windows looked at, and the past told of elsewhere.

        Args:
            looks: Who does it.
            sources: Says where the reference of a model's version is read from.
        """
        self._dispatch.send(looks, sources)

    def observe(self, endpoint: str) -> int:
        """Take in what came since the last time; each record is taken in exactly once.

        Returns:
            How many predictions came.
        """
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
        letters = Letters(
            folder=str(self._predictions),
            endpoint=endpoint,
            predictions=progress.predictions,
            labels=progress.labels,
        )
        came = self._dispatch.read(letters)
        if came is None or (came.read, came.read_labels) == (letters.predictions, letters.labels):
            return 0
        after = msgspec.structs.replace(progress, predictions=came.read, labels=came.read_labels)

        def work(connection: Connection) -> None:
            store.take_in(connection, endpoint, came.entries, came.labels)
            arrivals.keep(connection, endpoint, "predictions", came.asked)
            arrivals.keep(connection, endpoint, "labels", came.told)
            store.set_progress(connection, endpoint, after)

        self._db.write(work)
        return len(came.entries)

    def judge(
        self,
        endpoint: str,
        *,
        model: str,
        version: int,
        policy: MonitorPolicy,
        metrics: Sequence[str] = (),
    ) -> list[Finding]:
        """Judge every window that is due, and say what was found.

        A window is due when it is over and enough of its labels have come, or when they should
        have come by now. One that was judged is judged again when later labels came to it; what
        they reveal is said then, and nothing is said twice.

        Args:
            endpoint: Which.
            model: The model that it serves.
            version: The live version.
            policy: How to judge.
            metrics: Which metrics; the first is the one that is watched.
        """
        watched = Watched(endpoint=endpoint, model=model, policy=policy, metrics=tuple(metrics))
        found = self._listening.listen(endpoint, model, version, policy.silence)
        found += self._windows.revise(watched)
        found += self._belated.revise(watched)
        found += self._windows.judge_due(watched, version)
        return found

    def window(
        self,
        endpoint: str,
        *,
        model: str,
        policy: MonitorPolicy,
        since: datetime,
        until: datetime,
        version: int | None = None,
        metrics: Sequence[str] = (),
    ) -> WindowReport:
        """Tell of any stretch, however long ago, from the sums of its blocks.

        Whole blocks are told of; those of long ago are joined, so that the stretch may be wider
        than was asked for, and the report says from when to when it is.

        Args:
            endpoint: Which.
            model: The model that it serves.
            policy: How to judge.
            since: Where it begins.
            until: Where it ends, exclusive.
            version: Whose quality and drift are told; the one with the most answers if left out.
            metrics: Which metrics; all of the task's where it is empty.

        Raises:
            WindowNotFound: There is no prediction in the stretch.
        """
        watched = Watched(endpoint=endpoint, model=model, policy=policy, metrics=tuple(metrics))
        return self._hindsight.window(watched, since, until, version)

    def spreads(
        self,
        endpoint: str,
        *,
        model: str,
        policy: MonitorPolicy,
        since: datetime,
        until: datetime,
        version: int | None = None,
    ) -> tuple[ColumnSpread, ...]:
        """Tell how the columns were spread in any stretch, as `window` tells of quality.

        Raises:
            WindowNotFound: There is no prediction in the stretch.
        """
        watched = Watched(endpoint=endpoint, model=model, policy=policy, metrics=())
        return self._hindsight.spreads(watched, since, until, version)

    def windows(
        self, endpoint: str, *, since: datetime | None = None, limit: int | None = None
    ) -> list[WindowReport]:
        """Return windows' reports, newest first."""
        with self._db.read() as connection:
            return store.read_windows(connection, endpoint, since, limit)

    def estimates(self, endpoint: str) -> EstimateHistory:
        """Return how near the estimates came to what the labels told later."""
        return estimate_history(self.windows(endpoint))

    def findings(self, endpoint: str | None = None, *, limit: int = 100) -> list[Finding]:
        """Return findings, newest first."""
        subject = None if endpoint is None else Ref("endpoint", endpoint)
        facts = self._journal.read(
            types=(FindingRaised.type,), subject=subject, newest_first=True, limit=limit
        )
        return [f.read(FindingRaised).finding for f in facts]
