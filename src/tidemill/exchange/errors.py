"""What can go wrong when things move in or out."""

from __future__ import annotations

from tidemill.core.errors import (
    Busy,
    Conflict,
    InvalidData,
    NotFound,
    Refused,
    TidemillError,
    Usage,
)


class ExchangeError(TidemillError):
    """The branch of everything that goes wrong when things move in or out."""


class SourceNotFound(ExchangeError, NotFound):
    """There is nothing to import at that place."""


class BadSource(ExchangeError, InvalidData):
    """What is to be imported is damaged, or of a kind that is not known."""


class SourceUnreachable(ExchangeError, Busy):
    """The server to import from does not answer as one."""


class ArtifactsElsewhere(ExchangeError, Refused):
    """Artifacts lie outside the folders that may be read."""


class Incomplete(ExchangeError, InvalidData):
    """After the import something of the source is missing here."""


class NameTaken(ExchangeError, Conflict):
    """A model of the source has the name of another one here."""


class TargetExists(ExchangeError, Conflict):
    """The folder to export into is there already."""


class HomeNotEmpty(ExchangeError, Conflict):
    """The home to import into holds something already."""


class BadTarget(ExchangeError, Usage):
    """The folder to export into cannot be one."""
