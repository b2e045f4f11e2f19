"""The prediction log: what it holds, and having it compacted."""

from __future__ import annotations

from tidemill.predictions.holdings import Stats
from tidemill.predictions.segments import endpoints
from tidemill.server.operations.subject import Subject, changes
from tidemill.upkeep.records import Compaction


class Letterbox(Subject):
    """The prediction log."""

    def log_stats(self, endpoint: str | None = None) -> list[Stats]:
        """What the log holds of endpoints."""
        from tidemill.predictions.reading import stats

        root = self._home.predictions_folder
        return [stats(root, name) for name in ([endpoint] if endpoint else endpoints(root))]

    @changes
    def compact_log(self, endpoint: str | None = None) -> list[Compaction]:
        """Compact everything that is sealed now."""
        return list(self._home.keeper.compact(endpoint))
