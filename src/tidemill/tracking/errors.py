"""What can go wrong with tracking."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, TidemillError, Usage


class TrackingError(TidemillError):
    """The branch of everything that goes wrong with tracking."""


class ExperimentNotFound(TrackingError, NotFound):
    """No experiment has that id."""


class ExperimentExists(TrackingError, Conflict):
    """Another experiment has that name."""


class BadExperiment(TrackingError, Usage):
    """The experiment cannot be so called, or the default one was to go."""


class NotActive(TrackingError, Conflict):
    """The run or experiment was deleted and takes nothing until it is restored."""


class TagNotFound(TrackingError, NotFound):
    """There is no tag of that key."""


class RunNotFound(TrackingError, NotFound):
    """No run has that id."""


class LoggedModelNotFound(TrackingError, NotFound):
    """No logged model has that id."""


class ArtifactNotFound(TrackingError, NotFound):
    """The run or model has no artifact of that path."""


class ParamChanged(TrackingError, Conflict):
    """A param that was logged with one value was logged again with another."""


class BadArtifactPath(TrackingError, Usage):
    """The path cannot name an artifact."""


class BadMetric(TrackingError, Usage):
    """What is to be logged has a key or a value that cannot be kept."""
