"""What can be wrong with a search."""

from __future__ import annotations

from tidemill.core.errors import Usage


class BadSearch(Usage):
    """The filter, the order or the page token cannot be read."""
