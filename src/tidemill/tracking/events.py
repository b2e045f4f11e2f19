"""The facts that tracking writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event


class RunStarted(Event, frozen=True, kw_only=True):
    """A run was started.

    Attributes:
        run_id: Its id.
        name: Its name.
        experiment: The experiment's name.
    """

    type: ClassVar[str] = "run.started"
    run_id: str
    name: str
    experiment: str


class RunResumed(Event, frozen=True, kw_only=True):
    """A run that had ended goes on.

    Attributes:
        run_id: Its id.
        was: How it had ended.
    """

    type: ClassVar[str] = "run.resumed"
    run_id: str
    was: str


class RunFinished(Event, frozen=True, kw_only=True):
    """A run came to its end.

    Attributes:
        run_id: Its id.
        status: How it ended.
    """

    type: ClassVar[str] = "run.finished"
    run_id: str
    status: str
