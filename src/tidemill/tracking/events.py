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


class RunDeleted(Event, frozen=True, kw_only=True):
    """A run was deleted; it can be restored.

    Attributes:
        run_id: Its id.
    """

    type: ClassVar[str] = "run.deleted"
    run_id: str


class RunRestored(Event, frozen=True, kw_only=True):
    """A deleted run was restored.

    Attributes:
        run_id: Its id.
    """

    type: ClassVar[str] = "run.restored"
    run_id: str


class ExperimentCreated(Event, frozen=True, kw_only=True):
    """An experiment was made.

    Attributes:
        experiment_id: Its id.
        name: Its name.
    """

    type: ClassVar[str] = "experiment.created"
    experiment_id: str
    name: str


class ExperimentRenamed(Event, frozen=True, kw_only=True):
    """An experiment was given another name.

    Attributes:
        experiment_id: Its id.
        name: Its new name.
        was: Its name before.
    """

    type: ClassVar[str] = "experiment.renamed"
    experiment_id: str
    name: str
    was: str


class ExperimentDeleted(Event, frozen=True, kw_only=True):
    """An experiment was deleted with its runs; it can be restored.

    Attributes:
        experiment_id: Its id.
    """

    type: ClassVar[str] = "experiment.deleted"
    experiment_id: str


class ExperimentRestored(Event, frozen=True, kw_only=True):
    """A deleted experiment was restored with its runs.

    Attributes:
        experiment_id: Its id.
    """

    type: ClassVar[str] = "experiment.restored"
    experiment_id: str


class ModelLogged(Event, frozen=True, kw_only=True):
    """A model was logged with its files, or failed to be.

    Attributes:
        model_id: Its id.
        name: For people.
        run_id: The run that made it; empty where none did.
        status: `READY` or `FAILED`.
    """

    type: ClassVar[str] = "model.logged"
    model_id: str
    name: str
    run_id: str
    status: str


class RunErased(Event, frozen=True, kw_only=True):
    """A run that had been deleted was erased for good.

    Attributes:
        run_id: Its id.
    """

    type: ClassVar[str] = "run.erased"
    run_id: str


class ExperimentErased(Event, frozen=True, kw_only=True):
    """An experiment that had been deleted was erased for good.

    Attributes:
        experiment_id: Its id.
    """

    type: ClassVar[str] = "experiment.erased"
    experiment_id: str


class ModelErased(Event, frozen=True, kw_only=True):
    """A logged model that had been deleted, or whose experiment had, was erased for good.

    Attributes:
        model_id: Its id.
    """

    type: ClassVar[str] = "model.erased"
    model_id: str
