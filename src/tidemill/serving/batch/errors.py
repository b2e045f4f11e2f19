"""What can go wrong with batch scoring."""

from __future__ import annotations

from tidemill.core.errors import InvalidData, NotFound, TidemillError, Usage


class BatchError(TidemillError):
    """The branch of everything that goes wrong with batch scoring."""


class NoInput(BatchError, NotFound):
    """There is no file to score."""


class InputUnreadable(BatchError, InvalidData):
    """A file cannot be read, or lacks columns that the model needs."""


class RowsRefused(BatchError, InvalidData):
    """A row does not fit the model's contract."""


class BadFormat(BatchError, Usage):
    """A file's name does not say what it holds."""
