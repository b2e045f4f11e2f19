"""Does the monitor's tasks here: looks at windows, tells of the past, reads the letterbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from tidemill.core.clock import from_micros, micros
from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring.arrivals import by_hour
from tidemill.monitoring.judgement import Judge
from tidemill.monitoring.kept import framed, label_entries, prepared, raw_of
from tidemill.monitoring.live import Live
from tidemill.monitoring.past import report_of, version_of
from tidemill.monitoring.reference import Reference, blocks_of
from tidemill.monitoring.spreads import spreads_of
from tidemill.monitoring.state import (
    SHADOW,
    BlockState,
    decoded,
    seen_blocks,
    states_of,
    stretches_before,
)
from tidemill.monitoring.tasks import (
    Delivery,
    Letters,
    Log,
    Looked,
    Question,
    Search,
    Task,
    Times,
    Told,
)
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.predictions.stretches import read_stretch, times_of

MOST_LIVES = 8
"""How many versions are kept ready to compare with; the one that was asked last goes last."""
References = Callable[[str, int], Reference | None]


class Looker:
    """Does tasks; what it compares with is made once for each version.

    Args:
        references: Gives the reference of a model's version.
    """

    def __init__(self, references: References) -> None:
        self._references = references
        self._lives: dict[tuple[str, int, float, tuple[str, ...]], Live] = {}

    def look(self, task: Task) -> Looked:
        """Look at a window."""
        block = task.policy.block
        raw = task.rows if task.log is None else _logged(task.endpoint, task.log)
        rows = _blocked(raw, block)
        live = self._live(task.model, task.version, task.policy)
        mine = seen_blocks([decoded(s) for s in task.states], task.version)
        length = task.until - task.since
        judge = Judge(
            endpoint=task.endpoint,
            model=task.model,
            version=task.version,
            policy=task.policy,
            metrics=task.metrics,
            lives=partial(self._live, task.model, policy=task.policy),
            since=from_micros(task.since),
            until=from_micros(task.until),
            earlier=() if live is None else stretches_before(mine, live, task.since, length),
            recent=mine,
            checks=task.checks,
            rhythmic=task.rhythmic,
            newborn=task.newborn,
        )
        inside = pl.col("time").is_between(task.since, task.until, "left")
        report, findings = judge.look(rows.filter(inside))
        states = self._states(task.model, rows, task.policy)
        return Looked(
            report=report,
            findings=tuple(findings),
            states=tuple(s.encoded() for s in states),
        )

    def tell(self, question: Question) -> Told:
        """Tell of a stretch of the past."""
        policy, model = question.policy, question.model
        states = [decoded(s) for s in question.states]
        known = {(s.version, s.role, s.since) for s in states}
        fresh = self._states(model, _blocked(question.rows, policy.block), policy)
        states += [s for s in fresh if (s.version, s.role, s.since) not in known]
        version = version_of(states, question.version)
        if version is None:
            return Told()
        if question.spreads:
            live = self._live(model, version, policy)
            mine = seen_blocks(states, version)
            return Told(spreads=() if live is None else spreads_of(mine, live))
        report = report_of(
            states,
            endpoint=question.endpoint,
            model=model,
            version=version,
            lives=partial(self._live, model, policy=policy),
            policy=policy,
            metrics=question.metrics,
        )
        return Told(report=report)

    def read(self, letters: Letters) -> Delivery:
        """Read what came to an endpoint."""
        folder, endpoint = Path(letters.folder), letters.endpoint
        # Labels first: one that comes meanwhile waits for its prediction, never the other way.
        labels, read_label = read_labels(folder, endpoint, letters.labels)
        predictions, read = read_predictions(folder, endpoint, letters.predictions)
        asked = predictions.filter(pl.col("role") != SHADOW)
        return Delivery(
            entries=prepared(endpoint, predictions),
            labels=label_entries(labels),
            asked=by_hour(asked["time"].cast(pl.Int64).to_numpy()),
            told=by_hour(labels["arrived"].cast(pl.Int64).to_numpy()),
            read=read,
            read_labels=read_label,
        )

    def search(self, search: Search) -> Times:
        """Find predictions in the log."""
        folder, before = Path(search.folder), from_micros(search.before)
        times = times_of(folder, search.endpoint, search.ids, search.keys, before)
        return Times(tuple(micros(t) for t in times))

    def _states(self, model: str, rows: pl.DataFrame, policy: MonitorPolicy) -> list[BlockState]:
        """Return the sums of each version's blocks."""
        found: list[BlockState] = []
        for version in rows["version"].unique().sort().to_list():
            live = self._live(model, version, policy)
            found += states_of(rows, version, live, int(policy.block * 1e6), policy.segments)
        return found

    def _live(self, model: str, version: int, policy: MonitorPolicy) -> Live | None:
        """Return a version's reference, ready to compare with; made once."""
        key = (model, version, policy.block, policy.ignore)
        if key in self._lives:
            self._lives[key] = self._lives.pop(key)
        else:
            reference = self._references(model, version)
            if reference is None:
                return None
            self._lives[key] = Live(reference, policy.block, policy.ignore)
            for old in list(self._lives)[:-MOST_LIVES]:
                del self._lives[old]
        return self._lives[key]


def _logged(endpoint: str, log: Log) -> list[list[Any]]:
    """Return a stretch of the log as if its predictions were kept."""
    folder = Path(log.folder)
    rows = read_stretch(folder, endpoint, from_micros(log.since), from_micros(log.until))
    labels, _ = read_labels(folder, endpoint)
    return raw_of(endpoint, rows, labels)


def _blocked(rows: list[list[Any]], block: float) -> pl.DataFrame:
    """Return kept predictions as a frame, with the number of each one's block."""
    frame = framed(rows)
    return frame.with_columns(blocks_of(frame["time"], block))
