"""What can go wrong with the journal."""

from __future__ import annotations

from tidemill.core.errors import NotFound, TidemillError


class JournalError(TidemillError):
    """The branch of everything that goes wrong with the journal."""


class FactNotFound(JournalError, NotFound):
    """No fact has that id."""
