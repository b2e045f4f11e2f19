"""Tells of any stretch of the past, however long ago, from the sums of its blocks."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tidemill.core.clock import micros
from tidemill.monitoring import store
from tidemill.monitoring.dispatch import Dispatch
from tidemill.monitoring.endpoint_report import ColumnSpread
from tidemill.monitoring.errors import WindowNotFound
from tidemill.monitoring.records import WindowReport
from tidemill.monitoring.tasks import Question
from tidemill.monitoring.windows import Watched
from tidemill.storage.db.engine import Database


class Hindsight:
    """Asks about the past.

    Args:
        db: The database.
        dispatch: Has it told.
    """

    def __init__(self, db: Database, dispatch: Dispatch) -> None:
        self._db = db
        self._dispatch = dispatch

    def window(
        self, watched: Watched, since: datetime, until: datetime, version: int | None
    ) -> WindowReport:
        """Tell of a stretch as of one window.

        Raises:
            WindowNotFound: There is no prediction in the stretch.
        """
        told = self._dispatch.tell(self._question(watched, since, until, version))
        if told.report is None:
            raise _not_found(watched.endpoint, since, until, version)
        return told.report

    def spreads(
        self, watched: Watched, since: datetime, until: datetime, version: int | None
    ) -> tuple[ColumnSpread, ...]:
        """Tell how the columns were spread in a stretch.

        Raises:
            WindowNotFound: There is no prediction in the stretch.
        """
        question = self._question(watched, since, until, version)
        told = self._dispatch.tell(msgspec.structs.replace(question, spreads=True))
        if told.spreads is None:
            raise _not_found(watched.endpoint, since, until, version)
        return told.spreads

    def _question(
        self, watched: Watched, since: datetime, until: datetime, version: int | None
    ) -> Question:
        """Return the sums of a stretch, with the rows that are not summed up yet."""
        endpoint, length = watched.endpoint, int(watched.policy.block * 1e6)
        begin, end = micros(since) // length * length, -(-micros(until) // length) * length
        with self._db.read() as connection:
            states = store.read_states(connection, endpoint, watched.model, begin, end)
            judged = store.read_progress(connection, endpoint).judged or 0
            rows = store.read_raw(connection, endpoint, max(begin, judged), end)
        return Question(
            endpoint=endpoint,
            model=watched.model,
            version=version,
            policy=watched.policy,
            metrics=watched.metrics,
            rows=rows,
            states=[s.encoded() for s in states],
        )


def _not_found(
    endpoint: str, since: datetime, until: datetime, version: int | None
) -> WindowNotFound:
    whose = "" if version is None else f" of version {version}"
    return WindowNotFound(
        f"{endpoint} has no predictions{whose} from {since:%Y-%m-%d %H:%M} "
        f"to {until:%Y-%m-%d %H:%M}.",
        expected="a stretch with predictions",
        hint=f"`tidemill monitor windows {endpoint}` lists what was judged.",
    )
