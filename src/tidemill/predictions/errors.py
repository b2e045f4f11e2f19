"""What can go wrong with the letterbox."""

from __future__ import annotations

from tidemill.core.errors import Busy, NotFound, TidemillError


class PredictionsError(TidemillError):
    """The branch of everything that goes wrong with the letterbox."""


class PredictionNotFound(PredictionsError, NotFound):
    """No prediction has that id."""


class LogStopped(PredictionsError, Busy):
    """Records cannot be written, for example because the disk is full."""


class PredictionNotLogged(PredictionNotFound):
    """The prediction was made, and sampling left it out of the log."""


class CompactionRunning(PredictionsError, Busy):
    """Another process compacts the same log."""


class DamagedArchive(PredictionsError):
    """A Parquet file is not what was written."""
