"""What can go wrong with permanent deletion."""

from __future__ import annotations

from tidemill.core.errors import TidemillError, Usage


class UpkeepError(TidemillError):
    """The branch of everything that goes wrong with permanent deletion."""


class BadAge(UpkeepError, Usage):
    """The age is no duration."""
