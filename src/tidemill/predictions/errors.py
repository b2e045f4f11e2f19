"""What can go wrong with the letterbox."""

from __future__ import annotations

from tidemill.core.errors import Busy, InvalidData, NotFound, TidemillError


class PredictionsError(TidemillError):
    """The branch of everything that goes wrong with the letterbox."""


class PredictionNotFound(PredictionsError, NotFound):
    """No prediction has that id."""


class LogStopped(PredictionsError, Busy):
    """Records cannot be written, for example because the disk is full."""


class EndpointNotLogged(PredictionsError, NotFound):
    """The log has nothing of an endpoint."""


class BadLabels(PredictionsError, InvalidData):
    """A label cannot be taken: the row, the value and what was expected are named."""


class PredictionNotLogged(PredictionNotFound):
    """The prediction was made, and sampling left it out of the log."""


class CompactionRunning(PredictionsError, Busy):
    """Another process compacts the same log."""


class DamagedArchive(PredictionsError):
    """A Parquet file is not what was written."""
