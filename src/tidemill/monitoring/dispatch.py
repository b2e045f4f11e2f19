"""Where the monitor's tasks are done: in a process apart where there is one, else here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tidemill.monitoring.looking import Looker, References
from tidemill.monitoring.tasks import (
    Delivery,
    Letters,
    Looked,
    Looks,
    Question,
    Search,
    Source,
    Task,
    Times,
    Told,
)
from tidemill.predictions.reader import unread

Sources = Callable[[str, int], Source | None]
WORTH_SENDING = 1 << 18
"""From so many unread bytes on a process apart reads them: some hundred predictions."""


class Dispatch:
    """Gives tasks to whoever does them.

    Args:
        references: Gives the reference of a model's version, where tasks are done here.
    """

    def __init__(self, references: References) -> None:
        self._here = Looker(references)
        self._apart: tuple[Looks, Sources] | None = None

    def send(self, looks: Looks, sources: Sources) -> None:
        """Have tasks done elsewhere from now on.

        Args:
            looks: Who does them.
            sources: Says where the reference of a model's version is read from.
        """
        self._apart = (looks, sources)

    def look(self, task: Task) -> Looked:
        """Look at a window."""
        if self._apart is None:
            return self._here.look(task)
        known = self._sources(task.model, task.versions)
        return self._apart[0].look(msgspec.structs.replace(task, sources=known))

    def tell(self, question: Question) -> Told:
        """Tell of a stretch of the past."""
        if self._apart is None:
            return self._here.tell(question)
        known = self._sources(question.model, question.versions)
        return self._apart[0].tell(msgspec.structs.replace(question, sources=known))

    def read(self, letters: Letters) -> Delivery | None:
        """Read what came to an endpoint; nothing where nothing came.

        A few letters are read here, so that the other process sleeps, or is not there at all, where
        little is asked.
        """
        folder = Path(letters.folder)
        waiting = unread(folder, letters.endpoint, "predictions", letters.predictions)
        waiting += unread(folder, letters.endpoint, "labels", letters.labels)
        if not waiting:
            return None
        if self._apart is None or waiting < WORTH_SENDING:
            return self._here.read(letters)
        return self._apart[0].read(letters)

    def search(self, search: Search) -> Times:
        """Find predictions in the log."""
        return (self._here if self._apart is None else self._apart[0]).search(search)

    def _sources(self, model: str, versions: set[int]) -> dict[int, Source]:
        assert self._apart is not None
        source = self._apart[1]
        return {v: s for v in versions if (s := source(model, v)) is not None}
