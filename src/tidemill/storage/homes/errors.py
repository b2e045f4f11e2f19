"""What can go wrong with a home."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, TidemillError


class HomeError(TidemillError):
    """The branch of everything that goes wrong with a home."""


class HomeNotFound(HomeError, NotFound):
    """There is no home, and none was to be made."""


class HomeTooNew(HomeError, Conflict):
    """The home was made by a newer Tidemill."""


class RecordsElsewhere(HomeError, Conflict):
    """The home keeps its records in another database than the one that was named."""


class DatabaseOfAnotherHome(HomeError, Conflict):
    """The database that was named holds the records of another home."""


class RecordsGone(HomeError, Conflict):
    """The database held the records of the home, and was emptied since."""
