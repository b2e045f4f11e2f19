"""What can go wrong with webhooks."""

from __future__ import annotations

from tidemill.core.errors import InvalidData, NotFound, Refused, TidemillError, Usage


class WebhookError(TidemillError):
    """The branch of everything that goes wrong with webhooks."""


class WebhookNotFound(WebhookError, NotFound):
    """No webhook has that id."""


class BadWebhook(WebhookError, Usage):
    """A name, an address or an event of a webhook cannot be used."""


class DestinationRefused(WebhookError, Refused):
    """Nothing is sent to that host: it is not allowed, or it is inside."""


class SecretUnreadable(WebhookError, InvalidData):
    """A webhook's secret was sealed with the key of another home."""
