"""The verbs: make and change webhooks, find what is to be sent, and note what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, get_args

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import Page, page
from tidemill.webhooks import payloads, store
from tidemill.webhooks.child import SenderLost
from tidemill.webhooks.destinations import Allowed
from tidemill.webhooks.errors import BadWebhook, SecretUnreadable, WebhookNotFound
from tidemill.webhooks.records import Delivery, HookStatus, Message, Outcome, Webhook
from tidemill.webhooks.sealing import Box
from tidemill.webhooks.signing import headers

PAUSES = (2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0)
KEPT = 100
"""How many messages of each webhook are remembered after their end."""
_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
_LONGEST = 5000


class Webhooks:
    """Webhooks, and what is to be sent to them.

    Args:
        db: The database.
        journal: Tells what happened; read through a subscription that survives restarts.
        clock: Dates everything.
        ids: Name webhooks and messages.
        box: Seals secrets.
        allowed: Where messages may go.
        send: Has a message sent by the sending process.
        pauses: Seconds before a message is sent again; after the last, it is given up.
    """

    def __init__(
        self,
        db: Database,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        box: Box,
        allowed: Allowed,
        send: Callable[[Message], Future[Outcome]],
        *,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._box = box
        self._send = send
        self._facts = journal.subscribe("webhooks", payloads.TYPES)
        self._pauses = pauses
        self.allowed = allowed

    def create(
        self,
        name: str,
        url: str,
        events: Sequence[str],
        *,
        description: str = "",
        secret: str = "",
        status: HookStatus = "ACTIVE",
    ) -> Webhook:
        """Make a webhook; it is told of what happens from now on.

        Raises:
            BadWebhook: The name, the address or an event cannot be used.
            DestinationRefused: Nothing may be sent there.
        """
        now = self._clock.now()
        hook = Webhook(
            id=self._ids.new(),
            name=_checked_name(name),
            url=self._checked_url(url),
            events=checked_events(events),
            description=_checked_text(description, "description"),
            status=_checked_status(status),
            signed=bool(secret),
            created=now,
            updated=now,
        )
        sealed = self._box.seal(_checked_text(secret, "secret"))
        head = self._journal.head()
        self._db.write(lambda c: store.add_hook(c, hook, sealed, head))
        return hook

    def get(self, hook: str) -> Webhook:
        """Return a webhook.

        Raises:
            WebhookNotFound: None has that id.
        """
        with self._db.read() as connection:
            return _known(connection, hook)

    def hooks(self, *, limit: int = 100, token: str | None = None) -> Page[Webhook]:
        """Return webhooks, newest first.

        Raises:
            BadSearch: The token cannot be read.
        """

        def read(most: int, offset: int) -> list[Webhook]:
            with self._db.read() as connection:
                return store.read_hooks(connection, limit=most, offset=offset)

        return page(read, limit, token)

    def update(
        self,
        hook: str,
        *,
        name: str | None = None,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        secret: str | None = None,
        status: HookStatus | None = None,
    ) -> Webhook:
        """Change what is given of a webhook; an empty secret takes it away.

        Raises:
            WebhookNotFound: None has that id.
            BadWebhook: The name, the address or an event cannot be used.
            DestinationRefused: Nothing may be sent there.
        """
        checked: dict[str, Any] = {
            "name": None if name is None else _checked_name(name),
            "url": None if url is None else self._checked_url(url),
            "events": None if events is None else checked_events(events),
            "description": (
                None if description is None else _checked_text(description, "description")
            ),
            "secret": (None if secret is None else self._box.seal(_checked_text(secret, "secret"))),
            "status": None if status is None else _checked_status(status),
            "updated": self._clock.now(),
        }
        changes = {key: value for key, value in checked.items() if value is not None}

        def work(connection: Connection) -> Webhook:
            _known(connection, hook)
            store.change_hook(connection, hook, changes)
            return _known(connection, hook)

        return self._db.write(work)

    def delete(self, hook: str) -> None:
        """Delete a webhook; what was still to be sent to it is not sent.

        Raises:
            WebhookNotFound: None has that id.
        """

        def work(connection: Connection) -> None:
            _known(connection, hook)
            store.delete_hook(connection, hook)

        self._db.write(work)

    def test(self, hook: str, event: str = "") -> Outcome:
        """Send a webhook an example now, and return what came of it.

        Raises:
            WebhookNotFound: None has that id.
            BadWebhook: There is no such event.
        """
        known = self.get(hook)
        kind = checked_events([event])[0] if event else known.events[0]
        identifier = self._ids.new()
        when = self._clock.now().isoformat()
        body = payloads.message(kind, payloads.EXAMPLES[kind], when)
        try:
            return self._send(self._message(known, identifier, body)).result()
        except (SenderLost, SecretUnreadable) as error:
            return Outcome(id=identifier, error=str(error))

    def deliveries(self, hook: str, *, limit: int = 100) -> list[Delivery]:
        """Return what was and what is to be sent to a webhook, newest first.

        Raises:
            WebhookNotFound: None has that id.
        """
        with self._db.read() as connection:
            _known(connection, hook)
            return store.read_deliveries(connection, hook, limit)

    def gather(self) -> int:
        """Make messages of what has happened; return up to where the journal was read.

        A message is known by its webhook and its fact, so doing this again makes none twice.
        """
        facts = self._facts.pending()
        if not facts:
            return self._facts.position
        told = [(fact, payloads.told(fact)) for fact in facts]
        with self._db.read() as connection:
            listening = store.listeners(connection)
        new = [
            Delivery(
                id=self._ids.new(),
                hook=hook.id,
                fact=fact.position,
                event=what[0],
                body=payloads.message(*what, fact.time.isoformat()),
                due=self._clock.now(),
            )
            for fact, what in told
            if what is not None
            for hook, after in listening
            if fact.position > after and what[0] in hook.events
        ]
        if new:
            self._db.write(lambda c: store.add_deliveries(c, new))
        self._facts.acknowledge(facts[-1].position)
        return facts[-1].position

    def due(self, busy: Sequence[str]) -> list[Delivery]:
        """Return the oldest message that is due of each active webhook that is not busy."""
        with self._db.read() as connection:
            return store.first_due(connection, self._clock.now(), busy)

    def deliver(self, delivery: Delivery) -> Future[Outcome]:
        """Have a message sent.

        Raises:
            WebhookNotFound: Its webhook was deleted.
            SecretUnreadable: It cannot be signed.
        """
        hook = self.get(delivery.hook)
        return self._send(self._message(hook, delivery.id, delivery.body))

    def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Note what came of sending a message: it is done, sent again later, or given up."""
        error = outcome.error or ("" if outcome.done else outcome.body[:500])
        last = outcome.hopeless or delivery.attempts >= len(self._pauses)
        now = self._clock.now()
        status, due = "waiting", now
        if outcome.done or last:
            status = "delivered" if outcome.done else "given-up"
        else:
            due = now + timedelta(seconds=self._pauses[delivery.attempts])

        def work(connection: Connection) -> None:
            store.settle(connection, outcome, status, due, error)
            store.prune(connection, delivery.hook, KEPT)

        self._db.write(work)

    def _message(self, hook: Webhook, identifier: str, body: str) -> Message:
        with self._db.read() as connection:
            sealed = store.secret_of(connection, hook.id)
        return Message(
            id=identifier,
            url=hook.url,
            headers=headers(self._box.open(sealed), identifier, self._clock.now(), body),
            body=body,
            allowed=self.allowed.text,
        )

    def _checked_url(self, url: str) -> str:
        self.allowed.place(url)
        return url


def checked_events(events: Sequence[str]) -> tuple[str, ...]:
    """Return events, each once.

    Raises:
        BadWebhook: There are none, or one of them does not exist.

    Example:
        >>> checked_events(["model_version.created", "model_version.created"])
        ('model_version.created',)
    """
    if not events:
        raise BadWebhook("Webhook events must be a non-empty list.", expected=_KNOWN)
    for event in events:
        if event not in payloads.EXAMPLES:
            entity, _, action = event.partition(".")
            actions = sorted(e.partition(".")[2] for e in payloads.EXAMPLES if _of(e) == entity)
            raise BadWebhook(
                f"Invalid action '{action}' for entity '{entity}'. Valid actions are: {actions}",
                expected=nearest(event, payloads.EXAMPLES),
            )
    return tuple(dict.fromkeys(events))


_KNOWN = nearest("", payloads.EXAMPLES)


def _of(event: str) -> str:
    return event.partition(".")[0]


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadWebhook(
            f"Webhook name {name[:200]!r} is invalid. It must start and end with a letter or "
            "digit, be less than 63 characters long, and contain only letters, digits, dots (.), "
            "underscores (_), and hyphens (-)."
        )
    return name


def _checked_status(status: str) -> HookStatus:
    if status not in get_args(HookStatus):
        raise BadWebhook(f"Invalid webhook status {status[:50]!r}.", expected="ACTIVE or DISABLED")
    return status  # type: ignore[return-value]


def _checked_text(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadWebhook(f"The webhook's {what} is no text.") from error
    if len(text) > _LONGEST or "\x00" in text:
        raise BadWebhook(f"The webhook's {what} is no text of at most {_LONGEST:,} characters.")
    return text


def _known(connection: Connection, hook: str) -> Webhook:
    found = store.read_hooks(connection, store.hooks.c.id == hook) if hook.isascii() else []
    if not found:
        raise WebhookNotFound(
            f"Webhook with ID {hook[:100]} not found.",
            hint="List them with: tidemill webhooks list",
        )
    return found[0]
