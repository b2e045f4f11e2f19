"""The prediction log: what it holds, and having it compacted."""

from __future__ import annotations

from tidemill.core.errors import nearest
from tidemill.predictions.errors import EndpointNotLogged
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
        return [stats(root, name) for name in self._logged(endpoint)]

    @changes
    def compact_log(self, endpoint: str | None = None) -> list[Compaction]:
        """Compact everything that is sealed now."""
        if endpoint is not None:
            self._logged(endpoint)
        return list(self._home.keeper.compact(endpoint))

    def _logged(self, endpoint: str | None) -> list[str]:
        """Return the endpoints that are asked about: a name is never made a path unseen."""
        known = list(endpoints(self._home.predictions_folder))
        if endpoint is None:
            return known
        if endpoint not in known:
            raise EndpointNotLogged(
                f"The log has no endpoint {endpoint!r}.", expected=nearest(endpoint, known)
            )
        return [endpoint]
