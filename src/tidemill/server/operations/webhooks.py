"""Who is told what happens to models."""

from __future__ import annotations

from tidemill.server.operations.subject import Limit, Subject, changes
from tidemill.webhooks.records import Delivery, Outcome, Webhook


class Webhooks(Subject):
    """Who is told what happens to models."""

    def webhooks(self, limit: Limit = 100) -> list[Webhook]:
        """All webhooks, newest first."""
        return self._home.webhooks.hooks(limit=limit).items

    def deliveries(self, webhook: str, limit: Limit = 100) -> list[Delivery]:
        """What was and what is to be sent to a webhook, newest first."""
        return self._home.webhooks.deliveries(webhook, limit=limit)

    @changes
    def add_webhook(
        self, name: str, url: str, events: list[str], secret: str = "", description: str = ""
    ) -> Webhook:
        """Make a webhook, which is told of what happens from now on."""
        return self._home.webhooks.create(name, url, events, secret=secret, description=description)

    @changes
    def remove_webhook(self, webhook: str) -> None:
        """Delete a webhook."""
        self._home.webhooks.delete(webhook)

    @changes
    def try_webhook(self, webhook: str, event: str = "") -> Outcome:
        """Send a webhook an example now."""
        return self._home.webhooks.test(webhook, event)
