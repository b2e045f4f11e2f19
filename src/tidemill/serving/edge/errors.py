"""What can go wrong with edge bundles."""

from __future__ import annotations

from tidemill.core.errors import Conflict, TidemillError


class EdgeError(TidemillError):
    """The branch of everything that goes wrong with edge bundles."""


class OutputExists(EdgeError, Conflict):
    """There is something already where the bundle would go."""
