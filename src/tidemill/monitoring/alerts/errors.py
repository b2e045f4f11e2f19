"""What can go wrong with alerts."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, Refused, TidemillError, Usage
from tidemill.monitoring.errors import MonitoringError


class AlertError(MonitoringError):
    """The branch of everything that goes wrong with alerts."""


class AlertNotFound(AlertError, NotFound):
    """No alert has that number."""


class IncidentNotFound(AlertError, NotFound):
    """No incident has that number."""


class SilenceNotFound(AlertError, NotFound):
    """No silence has that number."""


class DeliveryNotFound(AlertError, NotFound):
    """No delivery has that id."""


class AlertOver(AlertError, Conflict):
    """The alert does not fire any more."""


class SilenceOver(AlertError, Conflict):
    """The silence has ended already."""


class DeliveryUnderWay(AlertError, Conflict):
    """The delivery is not dead: it is tried again by itself, or has arrived."""


class BadSilence(AlertError, Usage):
    """A silence needs an end and a reason, and must say of what."""


class SinkNotFound(AlertError, NotFound):
    """The policy has no sink of that name."""


class MissingSecret(AlertError, Usage):
    """An environment variable or a file that the policy names for a sink is not there."""


class ForbiddenAddress(AlertError, Refused):
    """The address is of this machine or a private network, and the policy does not allow that."""


class SinkFailed(AlertError, TidemillError):
    """A sink did not take a message; it is tried again later."""
