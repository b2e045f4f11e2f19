"""What can go wrong in what users import."""

from __future__ import annotations

from tidemill.core.errors import Conflict, TidemillError, Usage


class SdkError(TidemillError):
    """The branch of everything that goes wrong in what users import."""


class RunActive(SdkError, Conflict):
    """A run is active already, and the new one was not said to be nested."""


class RunElsewhere(SdkError, Conflict):
    """This process has its home open for a run that is active in another thread or task."""


class BadLogged(SdkError, Usage):
    """What is to be logged cannot be."""


class NotOffline(SdkError, Conflict):
    """What was asked for needs a server, and none can be reached."""


class BadAddress(SdkError, Usage):
    """The address of a server cannot be one."""
