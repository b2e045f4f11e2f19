"""What can go wrong with serving."""

from __future__ import annotations

from tidemill.core.errors import (
    Busy,
    Conflict,
    Findings,
    InvalidData,
    NotFound,
    TidemillError,
    Usage,
)


class ServingError(TidemillError):
    """The branch of everything that goes wrong with serving."""


class EndpointNotFound(ServingError, NotFound):
    """Nothing is deployed under that name."""


class VersionNotServed(ServingError, NotFound):
    """There is no such version, or the endpoint keeps it not warm."""


class RolloutNotFound(ServingError, NotFound):
    """No rollout has that id."""


class RolloutRunning(ServingError, Conflict):
    """The endpoint is in the middle of a rollout."""


class RolloutEnded(ServingError, Conflict):
    """The rollout has ended and cannot change any more."""


class NothingToRollBack(ServingError, Conflict):
    """There is no earlier version to go back to."""


class RoutesUnreadable(ServingError, InvalidData):
    """The route table's file is missing or damaged."""


class BadEndpoint(ServingError, Usage):
    """The name or the weights of an endpoint cannot be used."""


class BadSplit(ServingError, Usage):
    """The shares of a split cannot be read, or do not add up."""


class WorkersNotReady(ServingError, Busy):
    """The workers did not take a route table in time."""


class SandboxFailed(ServingError, Findings):
    """A candidate cannot be loaded in its sandbox, or takes too long or too much there."""


class NothingRecorded(ServingError, NotFound):
    """The endpoint recorded no request in that stretch."""
