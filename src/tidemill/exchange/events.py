"""The facts that moving in writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event


class HistoryImported(Event, frozen=True, kw_only=True):
    """Everything that another system kept was brought here, and counted.

    Attributes:
        source: Where from.
        runs: How many.
        points: Of metrics.
        artifacts: Files of runs and logged models.
        versions: Of registered models.
    """

    type: ClassVar[str] = "history.imported"
    source: str
    runs: int
    points: int
    artifacts: int
    versions: int
