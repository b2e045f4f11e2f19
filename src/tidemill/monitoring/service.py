"""The monitor: reads the letterbox, joins labels, judges windows, and says what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from sqlalchemy import Connection

from tidemill.core.clock import Clock, micros
from tidemill.core.findings import FindingKind
from tidemill.core.policy import MonitorPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring import arrivals, store
from tidemill.monitoring.belated import Belated
from tidemill.monitoring.clearing import clear_kinds
from tidemill.monitoring.endpoint_report import ColumnSpread
from tidemill.monitoring.episodes import Episodes
from tidemill.monitoring.errors import WindowNotFound
from tidemill.monitoring.estimate_history import estimate_history
from tidemill.monitoring.events import FindingRaised, WindowJudged
from tidemill.monitoring.listening import Listening
from tidemill.monitoring.looking import Looked, Looker, Looks, References, Source, Task
from tidemill.monitoring.past import report_of, version_of
from tidemill.monitoring.records import (
    EstimateHistory,
    Finding,
    WindowReport,
)
from tidemill.monitoring.reference import blocks_of
from tidemill.monitoring.spreads import spreads_of
from tidemill.monitoring.state import (
    LONGER,
    SHADOW,
    BlockState,
    decoded,
    seen_blocks,
)
from tidemill.monitoring.trust import WINDOWS
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.storage.db.engine import Database

ACTOR = "monitoring"
KEPT_WINDOWS = 4
LONG_AGO = 400 * 86_400 * 1_000_000
"""What is dated earlier, in microseconds before now, was dated by a clock that is wrong."""
MOST_BLOCKS = 1000
"""How many blocks of time are kept apart beyond the last windows; older ones are joined."""
Sources = Callable[[str, int], Source | None]


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
        self._looker = Looker(references)
        self._apart: tuple[Looks, Sources] | None = None
        self._belated = Belated(
            db,
            clock,
            predictions,
            look=self._look,
            states=self._looker.states,
            write=self._write,
        )
        self._listening = Listening(db, Episodes(db, journal), clock)

    def look_apart(self, looks: Looks, sources: Sources) -> None:
        """Have windows looked at elsewhere from now on.

        Args:
            looks: Who looks.
            sources: Says where the reference of a model's version is read from.
        """
        self._apart = (looks, sources)

    def observe(self, endpoint: str) -> int:
        """Take in what came since the last time; each record is taken in exactly once.

        Returns:
            How many predictions came.
        """
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
        labels, label_cursor = read_labels(self._predictions, endpoint, progress.labels)
        predictions, cursor = read_predictions(self._predictions, endpoint, progress.predictions)
        if predictions.is_empty() and labels.is_empty():
            return 0
        entries, arrived = store.prepared(endpoint, predictions), store.label_entries(labels)
        after = msgspec.structs.replace(progress, predictions=cursor, labels=label_cursor)
        seen = predictions.filter(pl.col("role") != SHADOW)["time"].cast(pl.Int64).to_numpy()
        told = labels["arrived"].cast(pl.Int64).to_numpy()

        def work(connection: Connection) -> None:
            store.take_in(connection, endpoint, entries, arrived)
            arrivals.keep(connection, endpoint, "predictions", arrivals.by_hour(seen))
            arrivals.keep(connection, endpoint, "labels", arrivals.by_hour(told))
            store.set_progress(connection, endpoint, after)

        self._db.write(work)
        return predictions.height

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
        found = self._listening.listen(endpoint, model, version, policy.silence)
        found += self._revise(endpoint, model, policy, metrics)
        found += self._belated.revise(endpoint, model, policy, metrics)
        while (due := self._due(endpoint, policy)) is not None:
            found += self._judge(endpoint, model, version, policy, metrics, *due)
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
        states, chosen = self._stretch(endpoint, model, policy, since, until, version)
        return report_of(
            states,
            endpoint=endpoint,
            model=model,
            version=chosen,
            lives=partial(self._looker.live, model, block=policy.block),
            policy=policy,
            metrics=metrics,
        )

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
        states, chosen = self._stretch(endpoint, model, policy, since, until, version)
        live = self._looker.live(model, chosen, policy.block)
        return () if live is None else spreads_of(seen_blocks(states, chosen), live)

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

    def _stretch(
        self,
        endpoint: str,
        model: str,
        policy: MonitorPolicy,
        since: datetime,
        until: datetime,
        version: int | None,
    ) -> tuple[list[BlockState], int]:
        """Return the sums of a stretch's blocks, and the version to tell of."""
        length = int(policy.block * 1e6)
        begin, end = micros(since) // length * length, -(-micros(until) // length) * length
        with self._db.read() as connection:
            states = store.read_states(connection, endpoint, model, begin, end)
            judged = store.read_progress(connection, endpoint).judged or 0
        fresh = self._rows(endpoint, policy, max(begin, judged), end)
        known = {(s.version, s.role, s.since) for s in states}
        found = self._looker.states(model, fresh, policy)
        states += [s for s in found if (s.version, s.role, s.since) not in known]
        chosen = version_of(states, version)
        if chosen is None:
            whose = "" if version is None else f" of version {version}"
            raise WindowNotFound(
                f"{endpoint} has no predictions{whose} from {since:%Y-%m-%d %H:%M} "
                f"to {until:%Y-%m-%d %H:%M}.",
                expected="a stretch with predictions",
                hint=f"`tidemill monitor windows {endpoint}` lists what was judged.",
            )
        return states, chosen

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

    def _judge(
        self,
        endpoint: str,
        model: str,
        version: int,
        policy: MonitorPolicy,
        metrics: Sequence[str],
        since: int,
        until: int,
    ) -> list[Finding]:
        report, findings, states = self._look(
            endpoint, model, version, policy, metrics, since, until
        )
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
        after = msgspec.structs.replace(progress, judged=until, silent=report.predictions == 0)
        kept = since - (KEPT_WINDOWS - 1) * (until - since)

        def work(connection: Connection) -> None:
            store.forget(connection, endpoint, kept)
            store.set_progress(connection, endpoint, after)
            store.join_states(connection, endpoint, model, kept, MOST_BLOCKS)
            self._write(connection, report, findings, states, clear_kinds(report))

        self._db.write(work)
        return findings

    def _revise(
        self, endpoint: str, model: str, policy: MonitorPolicy, metrics: Sequence[str]
    ) -> list[Finding]:
        """Judge again the kept windows to which labels came since."""
        found: list[Finding] = []
        with self._db.read() as connection:
            reports = store.read_windows(connection, endpoint, None, KEPT_WINDOWS - 1)
            changed = [
                r
                for r in reports
                if r.model == model and _is_kept(r, reports[0]) and _outdated(connection, r)
            ]
        for known in reversed(changed):
            report, findings, states = self._look(
                endpoint,
                model,
                known.version,
                policy,
                metrics,
                micros(known.since),
                micros(known.until),
            )
            new = [f for f in findings if f.kind not in known.found]
            told = (*known.found, *(f.kind for f in new))
            write = partial(
                self._write,
                report=msgspec.structs.replace(report, found=told),
                findings=new,
                states=states,
                clear=clear_kinds(report),
            )
            self._db.write(write)
            found += new
        return found

    def _look(
        self,
        endpoint: str,
        model: str,
        version: int,
        policy: MonitorPolicy,
        metrics: Sequence[str],
        since: int,
        until: int,
        rows: list[list[Any]] | None = None,
    ) -> tuple[WindowReport, list[Finding], list[BlockState]]:
        reach = max(LONGER) - 1
        with self._db.read() as connection:
            states = store.read_states(
                connection, endpoint, model, since - reach * (until - since), since
            )
            rhythmic = arrivals.rhythmic(connection, endpoint, self._clock.now())
            begun = store.first_block(connection, endpoint, model, version)
            reports = store.read_windows(connection, endpoint, None, 2 * WINDOWS)
            if rows is None:
                rows = store.read_raw(connection, endpoint, since, until)
        before = [r for r in reports if micros(r.since) < since]
        task = Task(
            endpoint=endpoint,
            model=model,
            version=version,
            policy=policy,
            metrics=tuple(metrics),
            since=since,
            until=until,
            rows=rows,
            states=[s.encoded() for s in states],
            checks=estimate_history(before).checks,
            rhythmic=rhythmic,
            newborn=begun is None or begun >= since or _is_skewed(before, version),
        )
        looked = self._looked(task)
        return looked.report, list(looked.findings), [decoded(s) for s in looked.states]

    def _looked(self, task: Task) -> Looked:
        if self._apart is None:
            return self._looker.look(task)
        looks, source = self._apart
        sources = {v: s for v in task.versions if (s := source(task.model, v)) is not None}
        return looks.look(msgspec.structs.replace(task, sources=sources))

    def _rows(self, endpoint: str, policy: MonitorPolicy, since: int, until: int) -> pl.DataFrame:
        with self._db.read() as connection:
            rows = store.framed(store.read_raw(connection, endpoint, since, until))
        return rows.with_columns(blocks_of(rows["time"], policy.block))

    def _write(
        self,
        connection: Connection,
        report: WindowReport,
        findings: Sequence[Finding],
        states: Sequence[BlockState],
        clear: tuple[FindingKind, ...],
    ) -> None:
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
