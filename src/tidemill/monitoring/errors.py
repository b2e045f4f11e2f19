"""What can go wrong with monitoring."""

from __future__ import annotations

from tidemill.core.errors import Busy, InvalidData, NotFound, TidemillError


class MonitoringError(TidemillError):
    """The branch of everything that goes wrong with monitoring."""


class WindowNotFound(MonitoringError, NotFound):
    """The endpoint has no window there."""


class UnreadableReference(MonitoringError, InvalidData):
    """A file cannot be read as a prepared reference."""


class LookerFailed(MonitoringError, Busy):
    """The process that looks at windows ended, or could not do what it was asked."""
