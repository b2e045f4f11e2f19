"""Windows of long ago to which labels came: judged again from the log, where it still has them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tidemill.core.clock import Clock, micros
from tidemill.monitoring import store
from tidemill.monitoring.dispatch import Dispatch
from tidemill.monitoring.ledger import Ledger
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.monitoring.state import renewed
from tidemill.monitoring.tasks import Log, Search
from tidemill.monitoring.windows import Watched, Windows
from tidemill.storage.db.engine import Database

STRAGGLING = 60 * 1_000_000
"""By how much later than another label one may be read that arrived before it, in microseconds."""


class Belated:
    """Judges windows again whose predictions are no longer kept.

    Args:
        db: The database.
        clock: Tells when no label that arrived before another is awaited any more.
        predictions: The letterbox's folder.
        dispatch: Has the log searched.
        windows: Has a window of the log looked at.
        ledger: Writes down what comes of it.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        predictions: Path,
        *,
        dispatch: Dispatch,
        windows: Windows,
        ledger: Ledger,
    ) -> None:
        self._db = db
        self._clock = clock
        self._predictions = predictions
        self._dispatch = dispatch
        self._windows = windows
        self._ledger = ledger

    def revise(self, watched: Watched) -> list[Finding]:
        """Judge again windows of long ago to which labels came, from the log where it has them."""
        endpoint = watched.endpoint
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
            waiting = store.waiting_since(connection, endpoint, progress.searched - STRAGGLING)
            oldest = store.first_time(connection, endpoint)
        newest = max((e.arrived for e in waiting), default=-1)
        settled = micros(self._clock.now()) > progress.searched + 2 * STRAGGLING
        if not waiting or oldest is None or (newest <= progress.searched and settled):
            return []
        search = Search(
            folder=str(self._predictions),
            endpoint=endpoint,
            ids=frozenset(e.name for e in waiting if e.by == "id"),
            keys=frozenset(e.name for e in waiting if e.by == "key"),
            before=oldest,
        )
        past = self._dispatch.search(search).times
        found: list[Finding] = []
        with self._db.read() as connection:
            reports = store.read_windows(connection, endpoint, None, None) if past else []
        for known in reports:
            since, until = micros(known.since), micros(known.until)
            if known.model == watched.model and any(since <= t < until for t in past):
                found += self._judge_again(known, watched)
        after = msgspec.structs.replace(progress, searched=newest)
        self._db.write(lambda connection: store.set_progress(connection, endpoint, after))
        return found

    def _judge_again(self, known: WindowReport, watched: Watched) -> list[Finding]:
        """Judge a window from the log, unless that has lost some of its predictions since."""
        since, until = micros(known.since), micros(known.until)
        with self._db.read() as connection:
            before = store.read_states(connection, known.endpoint, known.model, since, until)
        # Sums that were joined reach beyond the window, and are renewed as a whole.
        log = Log(
            folder=str(self._predictions),
            since=min([since, *(s.since for s in before)]),
            until=max([until, *(s.until for s in before)]),
            versions=frozenset(s.version for s in before),
        )
        report, findings, fresh = self._windows.look(watched, known.version, since, until, log)
        if report.predictions < known.predictions:
            return []
        return self._ledger.amend(known, report, findings, renewed(before, fresh), clear=())
