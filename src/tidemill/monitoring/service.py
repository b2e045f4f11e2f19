"""The monitor: reads the letterbox, joins labels, judges windows, and says what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from sqlalchemy import Connection

from tidemill.core.clock import Clock, from_micros, micros
from tidemill.core.policy import MonitorPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring import store
from tidemill.monitoring.drift import DriftReference
from tidemill.monitoring.events import FindingRaised, WindowJudged
from tidemill.monitoring.judgement import Judge, Live
from tidemill.monitoring.performance import losses_of
from tidemill.monitoring.records import Finding, VersionEvidence, WindowReport
from tidemill.monitoring.reference import Reference, blocks_of
from tidemill.predictions.reader import FEATURE, read_labels, read_predictions
from tidemill.storage.db.engine import Database

ACTOR = "monitoring"
KEPT_WINDOWS = 4
References = Callable[[str, int], Reference | None]


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
        self._references = references
        self._live: dict[tuple[str, int], Live | None] = {}

    def observe(self, endpoint: str) -> int:
        """Take in what came since the last time; each record is taken in exactly once.

        Returns:
            How many predictions came.
        """
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
        predictions, cursor = read_predictions(self._predictions, endpoint, progress.predictions)
        labels, label_cursor = read_labels(self._predictions, endpoint, progress.labels)
        if predictions.is_empty() and labels.is_empty():
            return 0
        entries = store.prepared(endpoint, predictions)
        after = msgspec.structs.replace(progress, predictions=cursor, labels=label_cursor)

        def work(connection: Connection) -> None:
            store.add_rows(connection, entries)
            store.set_labels(connection, endpoint, labels)
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
        have come by now.

        Args:
            endpoint: Which.
            model: The model that it serves.
            version: The live version.
            policy: How to judge.
            metrics: Which metrics; the first is the one that is watched.
        """
        found: list[Finding] = []
        while (due := self._due(endpoint, policy)) is not None:
            found += self._judge(endpoint, model, version, policy, metrics, *due)
        return found

    def windows(
        self, endpoint: str, *, since: datetime | None = None, limit: int | None = None
    ) -> list[WindowReport]:
        """Return windows' reports, newest first."""
        with self._db.read() as connection:
            return store.read_windows(connection, endpoint, since, limit)

    def findings(self, endpoint: str | None = None, *, limit: int = 100) -> list[Finding]:
        """Return findings, newest first."""
        subject = None if endpoint is None else Ref("endpoint", endpoint)
        facts = self._journal.read(
            types=(FindingRaised.type,), subject=subject, newest_first=True, limit=limit
        )
        return [f.read(FindingRaised).finding for f in facts]

    def evidence(
        self, endpoint: str, model: str, version: int, *, since: datetime
    ) -> VersionEvidence:
        """Return how one version fared since a moment, on the traffic that it answered."""
        with self._db.read() as connection:
            rows = store.read_rows(
                connection,
                endpoint,
                micros(since),
                2**62,
                store.rows.c.version == version,
                store.rows.c.role != "shadow",
            )
        answered = rows.filter(pl.col("status") == "ok")
        labelled = answered.filter(pl.col("label").is_not_null()).sort("arrived", "id")
        live = self._live_version(model, version, 86400.0)
        losses: tuple[float, ...] = ()
        if live is not None and labelled.height:
            losses = tuple(losses_of(live.reference.signature, labelled).tolist())
        scores = answered["score"] if answered["score"].dtype.is_numeric() else pl.Series([0.0])
        return VersionEvidence(
            version=version,
            predictions=rows.height,
            errors=rows.height - answered.height,
            latency_p99_us=float(rows["latency_us"].quantile(0.99) or 0.0),
            labelled=labelled.height,
            losses=losses,
            mean_score=float(scores.mean() or 0.0),  # type: ignore[arg-type]
        )

    def _due(self, endpoint: str, policy: MonitorPolicy) -> tuple[int, int] | None:
        length, block = int(policy.window * 1e6), int(policy.block * 1e6)
        now = micros(self._clock.now())
        with self._db.read() as connection:
            progress = store.read_progress(connection, endpoint)
            begin = progress.judged
            if begin is None or progress.silent:
                first = store.first_time(connection, endpoint, begin or 0)
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
        with self._db.read() as connection:
            rows = store.read_rows(connection, endpoint, since, until)
            progress = store.read_progress(connection, endpoint)
        judge = Judge(
            endpoint=endpoint,
            model=model,
            version=version,
            policy=policy,
            metrics=tuple(metrics),
            live=self._live_version(model, version, policy.block),
            since=from_micros(since),
            until=from_micros(until),
        )
        report, findings = judge.look(_plain(rows, policy.block))
        before = since - (KEPT_WINDOWS - 1) * (until - since)
        after = msgspec.structs.replace(progress, judged=until, silent=report.predictions == 0)

        def work(connection: Connection) -> None:
            store.set_window(connection, report)
            store.forget(connection, endpoint, before)
            store.set_progress(connection, endpoint, after)
            subject = Ref("endpoint", endpoint)
            judged = WindowJudged(
                endpoint=endpoint,
                version=version,
                predictions=report.predictions,
                coverage=report.coverage,
                findings=len(findings),
            )
            fact = self._journal.append(connection, judged, subject=subject, actor=ACTOR)
            for finding in findings:
                raised = FindingRaised(finding=finding)
                self._journal.append(
                    connection, raised, subject=subject, actor=ACTOR, cause=fact.id
                )

        self._db.write(work)
        return findings

    def _live_version(self, model: str, version: int, block: float) -> Live | None:
        """Return a version's reference, ready to compare with; made once."""
        key = (model, version)
        if key not in self._live:
            reference = self._references(model, version)
            self._live[key] = None if reference is None else _live(reference, block)
        return self._live[key]


def _live(reference: Reference, block: float) -> Live:
    columns = [c.name for c in reference.signature.features]
    rows = reference.rows
    if reference.time is None:
        # Without a time column, equal parts of the rows stand for blocks.
        blocks = pl.Series("block", np.arange(rows.height) * 30 // max(rows.height, 1))
    else:
        blocks = blocks_of(rows[reference.time], block)
    return Live(reference, DriftReference(rows, blocks, columns))


def _plain(rows: pl.DataFrame, block: float) -> pl.DataFrame:
    """Give features their own names, and every row its block of time."""
    renamed = rows.rename(
        {c: c.removeprefix(FEATURE) for c in rows.columns if c.startswith(FEATURE)}
    )
    return renamed.with_columns(blocks_of(rows["time"], block).alias("block"))
