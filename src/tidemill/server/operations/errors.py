"""What goes wrong before an operation is reached."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, Usage


class UnknownOperation(NotFound):
    """There is no operation of that name."""


class BadArgument(Usage):
    """An argument of an operation is missing, unknown, or has the wrong type."""


class UnderWay(Conflict):
    """The same long work is under way already."""
