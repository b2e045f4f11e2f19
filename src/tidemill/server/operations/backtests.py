"""What candidates would have said to what endpoints were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from tidemill.core.clock import SystemClock
from tidemill.core.errors import nearest
from tidemill.core.policy import BacktestPolicy
from tidemill.server.operations.errors import BadArgument
from tidemill.server.operations.moments import moment_of
from tidemill.server.operations.records import Job
from tidemill.server.operations.subject import Subject, changes
from tidemill.serving.differences import Backtest
from tidemill.serving.errors import NothingRecorded

if TYPE_CHECKING:
    import polars as pl

Part = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Backtests(Subject):
    """What candidates would have said to what endpoints were asked."""

    @changes
    def backtest(
        self,
        ref: str,
        since: str | None = None,
        until: str | None = None,
        endpoint: str | None = None,
        segments: str | None = None,
        max_changed: Part | None = None,
    ) -> Job:
        """Replay what an endpoint was asked through a version; runs on in the background."""
        from tidemill.loop.recording import recorded_rows
        from tidemill.predictions.finding import latest_predictions
        from tidemill.serving.backtest import backtest
        from tidemill.serving.sandbox import Sandbox

        version = self._version(ref)
        name = endpoint or self._endpoint_of(version.model)
        begin = None if since is None else moment_of("since", since)
        end = None if until is None else moment_of("until", until)
        if begin is not None and end is not None and begin >= end:
            raise BadArgument(
                f"The stretch from {since} to {until} is empty.", expected="since before until"
            )
        predictions = self._home.predictions_folder
        if not latest_predictions(predictions, name, 1):
            raise NothingRecorded(
                f"Endpoint {name!r} has recorded nothing.",
                expected="an endpoint that was asked something",
                hint="Name another one with --endpoint.",
            )
        limits = self._limits(version.model, max_changed)
        policy = self._home.policy.models.get(version.model)
        columns = tuple(segments.split(",")) if segments else limits.segments
        if not columns and policy is not None:
            columns = policy.monitor.segments
        bundle = self._home.shelf.unpack(version.packed)
        surroundings = self._home.shelf.surroundings(version.model)

        def work(job: Job) -> None:
            job.show("read")
            rows = recorded_rows(predictions, name, since=begin, until=end)
            if rows.is_empty():
                raise NothingRecorded(
                    f"Endpoint {name!r} recorded nothing in that stretch.",
                    hint="Choose another one with --since and --until.",
                )
            if segments:
                _check_segments(columns, rows)
            job.show("replay")
            self._home.shelf.prepare(version.model, version.packed)
            with Sandbox(bundle, clock=SystemClock(), surroundings=surroundings) as sandbox:
                job.backtest = backtest(
                    rows,
                    sandbox,
                    endpoint=name,
                    candidate=str(version.ref),
                    limits=limits,
                    segments=columns,
                )

        return self._jobs.start(work, f"backtest {version.ref}")

    def backtest_page(self, id: str) -> str:
        """The page of a backtest that has come to its end."""
        from tidemill.serving.backtest_page import page

        found: Backtest | None = self._jobs.get(id).backtest
        if found is None:
            raise BadArgument(f"The job {id!r} has no backtest.", expected="one that has ended")
        return page(found)

    def _limits(self, model: str, max_changed: float | None) -> BacktestPolicy:
        policy = self._home.policy.models.get(model)
        known = None if policy is None else policy.backtest
        limits = known or BacktestPolicy()
        if max_changed is None:
            return limits
        return msgspec.structs.replace(limits, max_changed=max_changed)


def _check_segments(segments: Sequence[str], rows: pl.DataFrame) -> None:
    from tidemill.datasets.segments import values_of
    from tidemill.predictions.reader import FEATURE

    known = [c.removeprefix(FEATURE) for c in rows.columns if c.startswith(FEATURE)]
    for segment in segments:
        if values_of(rows.head(0), segment, prefix=FEATURE) is None:
            raise BadArgument(
                f"The segment {segment!r} is no column of what was recorded.",
                expected=f"{nearest(segment, known)}; or a pair, as 'a & b'",
            )
