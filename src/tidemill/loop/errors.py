"""What can go wrong in the loop."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, TidemillError, Usage


class LoopError(TidemillError):
    """The branch of everything that goes wrong in the loop."""


class ModelNotInPolicy(LoopError, NotFound):
    """The policy has no section for that model."""


class DatasetNotInPolicy(LoopError, Usage):
    """A model's section names a dataset that the policy does not have."""


class NoProject(LoopError, Usage):
    """The home has no project, so that there is no code to train with."""


class TrainingUnderWay(LoopError, Conflict):
    """The model is being trained already."""


class FilesElsewhere(LoopError, NotFound):
    """A version's files are not kept in this home."""
