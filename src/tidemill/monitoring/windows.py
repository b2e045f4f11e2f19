"""Which windows are due, and which are to be judged again; each is looked at and written down."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from tidemill.core.clock import Clock, micros
from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring import arrivals, store
from tidemill.monitoring.clearing import clear_kinds
from tidemill.monitoring.dispatch import Dispatch
from tidemill.monitoring.estimate_history import estimate_history
from tidemill.monitoring.ledger import Ledger
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.monitoring.state import LONGER, BlockState, decoded
from tidemill.monitoring.tasks import Log, Task
from tidemill.monitoring.trust import WINDOWS
from tidemill.storage.db.engine import Database

KEPT_WINDOWS = 4
LONG_AGO = 400 * 86_400 * 1_000_000
"""What is dated earlier, in microseconds before now, was dated by a clock that is wrong."""
MOST_BLOCKS = 1000
"""How many blocks of time are kept apart beyond the last windows; older ones are joined."""
Seen = tuple[WindowReport, list[Finding], list[BlockState]]


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched, and how.

    Attributes:
        endpoint: Which endpoint.
        model: The model that it serves.
        policy: How to judge.
        metrics: Which metrics; the first is the one that is watched.
    """

    endpoint: str
    model: str
    policy: MonitorPolicy
    metrics: tuple[str, ...]


class Windows:
    """Judges windows whose rows are kept.

    Args:
        db: The database.
        clock: Tells what is due.
        dispatch: Has windows looked at.
        ledger: Writes down what comes of them.
    """

    def __init__(self, db: Database, clock: Clock, dispatch: Dispatch, ledger: Ledger) -> None:
        self._db = db
        self._clock = clock
        self._dispatch = dispatch
        self._ledger = ledger

    def judge_due(self, watched: Watched, version: int) -> list[Finding]:
        """Judge every window that is due."""
        found: list[Finding] = []
        while (due := self._due(watched.endpoint, watched.policy)) is not None:
            found += self._judge(watched, version, *due)
        return found

    def revise(self, watched: Watched) -> list[Finding]:
        """Judge again the kept windows to which labels came since."""
        found: list[Finding] = []
        with self._db.read() as connection:
            reports = store.read_windows(connection, watched.endpoint, None, KEPT_WINDOWS - 1)
            changed = [
                r
                for r in reports
                if r.model == watched.model and _is_kept(r, reports[0]) and _outdated(connection, r)
            ]
        for known in reversed(changed):
            since, until = micros(known.since), micros(known.until)
            report, findings, states = self.look(watched, known.version, since, until)
            found += self._ledger.amend(known, report, findings, states, clear_kinds(report))
        return found

    def look(
        self,
        watched: Watched,
        version: int,
        since: int,
        until: int,
        log: Log | None = None,
    ) -> Seen:
        """Have a window looked at; return the report, what it shows, and sums of blocks.

        Args:
            watched: Whose window.
            version: The live version.
            since: Where it begins, in microseconds since 1970.
            until: Where it ends, exclusive.
            log: Where its predictions are read, and those around it whose sums are asked for too;
                the window's own that are kept where left out.
        """
        endpoint, reach = watched.endpoint, max(LONGER) - 1
        with self._db.read() as connection:
            states = store.read_states(
                connection, endpoint, watched.model, since - reach * (until - since), since
            )
            rhythmic = arrivals.rhythmic(connection, endpoint, self._clock.now())
            begun = store.first_block(connection, endpoint, watched.model, version)
            reports = store.read_windows(connection, endpoint, None, 2 * WINDOWS)
            rows = [] if log else store.read_raw(connection, endpoint, since, until)
        before = [r for r in reports if micros(r.since) < since]
        task = Task(
            endpoint=endpoint,
            model=watched.model,
            version=version,
            policy=watched.policy,
            metrics=watched.metrics,
            since=since,
            until=until,
            rows=rows,
            log=log,
            states=[s.encoded() for s in states],
            checks=estimate_history(before).checks,
            rhythmic=rhythmic,
            newborn=begun is None or begun >= since or _is_skewed(before, version),
        )
        looked = self._dispatch.look(task)
        return looked.report, list(looked.findings), [decoded(s) for s in looked.states]

    def _due(self, endpoint: str, policy: MonitorPolicy) -> tuple[int, int] | None:
        length, block = int(policy.window * 1e6), int(policy.block * 1e6)
        now = micros(self._clock.now())
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
            begin = progress.judged
            if begin is None or progress.silent:
                oldest = max(begin or 0, now - LONG_AGO)
                first = store.first_time(connection, endpoint, oldest, now)
                if first is None:
                    return None
                begin = first // block * block
            end = begin + length
            if now < end:
                return None
            total, labelled = store.coverage(connection, endpoint, begin, end)
        late = now >= end + int(policy.label_delay * 1e6)
        enough = total > 0 and labelled / total >= policy.min_label_coverage
        return (begin, end) if enough or late else None

    def _judge(self, watched: Watched, version: int, since: int, until: int) -> list[Finding]:
        report, findings, states = self.look(watched, version, since, until)
        endpoint = watched.endpoint
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
        after = msgspec.structs.replace(progress, judged=until, silent=report.predictions == 0)
        kept = since - (KEPT_WINDOWS - 1) * (until - since)

        def work(connection: Connection) -> None:
            store.forget(connection, endpoint, kept)
            store.set_progress(connection, endpoint, after)
            store.join_states(connection, endpoint, watched.model, kept, MOST_BLOCKS)
            self._ledger.enter(connection, report, findings, states, clear_kinds(report))

        self._db.write(work)
        return findings


def _is_kept(report: WindowReport, newest: WindowReport) -> bool:
    """Tell whether all rows of a window are still at hand."""
    length = newest.until - newest.since
    return report.since >= newest.since - (KEPT_WINDOWS - 1) * length


def _outdated(connection: Connection, report: WindowReport) -> bool:
    """Tell whether labels, or predictions, came to a window since it was judged."""
    since, until = micros(report.since), micros(report.until)
    if store.coverage(connection, report.endpoint, since, until)[0] > report.predictions:
        return True
    newest = store.newest_label(connection, report.endpoint, since, until)
    counted = -1 if report.newest_label is None else micros(report.newest_label)
    return newest is not None and newest > counted


def _is_skewed(reports: Sequence[WindowReport], version: int) -> bool:
    """Tell whether the newest window of a version found its values unlike those of training."""
    newest = next((r for r in reports if r.version == version), None)
    return newest is not None and "skew" in newest.found
