"""What can go wrong with tracking."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, TidemillError, Usage


class TrackingError(TidemillError):
    """The branch of everything that goes wrong with tracking."""


class ExperimentNotFound(TrackingError, NotFound):
    """No experiment has that id."""


class RunNotFound(TrackingError, NotFound):
    """No run has that id."""


class ArtifactNotFound(TrackingError, NotFound):
    """The run has no artifact of that path."""


class ParamChanged(TrackingError, Conflict):
    """A param that was logged with one value was logged again with another."""


class BadArtifactPath(TrackingError, Usage):
    """The path cannot name an artifact."""


class BadMetric(TrackingError, Usage):
    """The metric's key or value cannot be kept."""
