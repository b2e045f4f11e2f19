"""Carries messages from the outbox to the sinks, again and again until they arrive.

A message is marked as delivered after its sink took it. Killed in between, it is sent again, with
the same id; so nothing is lost, and a receiver can tell what came twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import TidemillError, nearest
from tidemill.core.ids import Ids
from tidemill.core.plugins import Plugins
from tidemill.core.policy import AlertPolicy, SinkPolicy
from tidemill.core.policy.alerting import sinks_of
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts import store
from tidemill.monitoring.alerts.errors import (
    DeliveryNotFound,
    DeliveryUnderWay,
    SinkNotFound,
)
from tidemill.monitoring.alerts.events import DeliveryGivenUp
from tidemill.monitoring.alerts.protocol import Sink, SinkSettings
from tidemill.monitoring.alerts.records import Delivery, DeliveryStatus, Message, Trial
from tidemill.monitoring.alerts.secrets import Secrets, scrubbed
from tidemill.storage.db.engine import Database

logger = logging.getLogger(__name__)
PLUGINS = Plugins("sinks", "tidemill.monitoring.sinks", extras={"apprise": "alerts"})
ACTOR = "alerts"
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
GIVEN_UP = timedelta(days=1)
"""For how long a message is tried."""
LEAST_ATTEMPTS = 5
KEPT = timedelta(days=30)
"""For how long it is known what was delivered."""
_BATCH = 200
_LONGEST_TEXT = 500


class Dispatcher:
    """Delivers.

    Args:
        db: The database.
        journal: Where it is written down that a message was given up.
        clock: Tells what is due.
        ids: Name test messages.
        policy: Returns what `[alerts]` says now.
        secrets: Where the sinks' secrets are.
        logs: The folder of the home's logs.
    """

    def __init__(
        self,
        db: Database,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        *,
        policy: Callable[[], AlertPolicy],
        secrets: Secrets,
        logs: Path,
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._secrets = secrets
        self._logs = logs
        self._lock = threading.Lock()

    def flush(self) -> int:
        """Try everything that is due, each sink by a thread of its own; tell how much arrived."""
        arrived = 0
        with self._lock:
            while due := self._due():
                deliver = partial(self._deliver, sinks=sinks_of(self._policy()))
                by_sink = [list(part) for _, part in groupby(due, key=lambda d: d.sink)]
                with ThreadPoolExecutor(len(by_sink), "tidemill-sink") as pool:
                    arrived += sum(pool.map(deliver, by_sink))
            if arrived:
                before = self._clock.now() - KEPT
                self._db.write(lambda c: store.forget_delivered(c, before))
        return arrived

    def deliveries(
        self,
        *,
        status: DeliveryStatus | None = None,
        alert: int | None = None,
        limit: int | None = None,
    ) -> list[Delivery]:
        """Return deliveries, newest first."""
        with self._db.read() as connection:
            return store.read_deliveries(connection, status=status, alert=alert, limit=limit)

    def counts(self) -> dict[str, int]:
        """Return how many deliveries there are of each status."""
        with self._db.read() as connection:
            return store.count_deliveries(connection)

    def again(self, identifier: str) -> Delivery:
        """Try a dead delivery again.

        Raises:
            DeliveryNotFound: There is none of that id.
            DeliveryUnderWay: It is not dead.
        """
        now = self._clock.now()

        def work(connection: Connection) -> Delivery:
            found = store.read_delivery(connection, identifier)
            if found is None:
                raise DeliveryNotFound(
                    f"There is no delivery {identifier!r}.",
                    hint="`tidemill alerts deliveries --dead` lists what was given up.",
                )
            if found.status != "dead":
                raise DeliveryUnderWay(
                    f"Delivery {identifier} is {found.status}.", expected="a dead one"
                )
            found = replace(found, status="waiting", attempts=0, due=now, ended=None)
            store.set_delivery(connection, found)
            return found

        return self._db.write(work)

    def test(self, sinks: Sequence[str] = ()) -> list[Trial]:
        """Send a test message to sinks, all of them where none is named, and tell what came of it.

        Raises:
            SinkNotFound: The policy has no sink of that name.
        """
        known = sinks_of(self._policy())
        for name in sinks:
            self._policy_of(name, known)
        return [self._try_out(name, known[name]) for name in sinks or known]

    def _try_out(self, name: str, policy: SinkPolicy) -> Trial:
        now = self._clock.now()
        message = Message(
            id=self._ids.new(),
            status="test",
            severity="warning",
            title="a test of Tidemill's alerts",
            text="If you read this, alerts arrive here. Nothing is wrong.",
            number=0,
            incident=0,
            fingerprint="test",
            kind="test",
            rule="test",
            subject="alert:test",
            opened=now,
            time=now,
        )
        error = self._send(name, {name: policy}, message)
        return Trial(sink=name, kind=policy.kind, arrived=not error, error=error)

    def _due(self) -> list[Delivery]:
        with self._db.read() as connection:
            found = store.due_deliveries(connection, self._clock.now(), _BATCH)
        return sorted(found, key=lambda d: (d.sink, d.id))

    def _deliver(self, due: Iterable[Delivery], sinks: dict[str, SinkPolicy]) -> int:
        """Try one sink's deliveries; after the first that fails the others wait for a better time.

        Returns:
            How many arrived.
        """
        arrived = 0
        for delivery in due:
            error = self._send(delivery.sink, sinks, delivery.message)
            now = self._clock.now()
            if error:
                self._put_off(delivery, error, now)
                self._hold(delivery.sink, now)
                return arrived
            taken = replace(
                delivery,
                status="delivered",
                attempts=delivery.attempts + 1,
                ended=now,
                error="",
            )
            self._db.write(lambda c, d=taken: store.set_delivery(c, d))  # type: ignore[misc]
            arrived += 1
        return arrived

    def _send(self, name: str, sinks: dict[str, SinkPolicy], message: Message) -> str:
        """Send a message, and return what went wrong, free of secrets."""
        policy: SinkPolicy | None = None
        settings: SinkSettings | None = None
        try:
            policy = self._policy_of(name, sinks)
            settings = self._secrets.settings(name, policy, self._logs)
            sink: Sink = PLUGINS.load(policy.kind)(settings)
            sink.send(message)
        except TidemillError as error:
            said = str(error)
        except Exception as error:  # of a plugin, about which nothing is known
            said = f"{type(error).__name__}: {error}"
        else:
            return ""
        said = scrubbed(said, settings, policy)[:_LONGEST_TEXT]
        logger.info("the sink %s did not take message %s: %s", name, message.id, said)
        return said

    def _put_off(self, delivery: Delivery, error: str, now: datetime) -> None:
        attempts = delivery.attempts + 1
        pause = min(FIRST_PAUSE * 2.0 ** (attempts - 1), LONGEST_PAUSE)
        over = now - delivery.made >= GIVEN_UP and attempts >= LEAST_ATTEMPTS
        late = replace(
            delivery,
            status="dead" if over else "waiting",
            attempts=attempts,
            due=now + timedelta(seconds=pause),
            ended=now if over else None,
            error=error,
        )

        def work(connection: Connection) -> None:
            store.set_delivery(connection, late)
            if over:
                event = DeliveryGivenUp(
                    delivery=late.id, alert=late.alert, sink=late.sink, error=error
                )
                subject = Ref("alert", str(late.alert))
                self._journal.append(connection, event, subject=subject, actor=ACTOR)

        self._db.write(work)

    def _hold(self, sink: str, now: datetime) -> None:
        """Have the other deliveries of a sink that failed wait as long as the first."""
        until = now + timedelta(seconds=FIRST_PAUSE)
        self._db.write(lambda c: store.hold_sink(c, sink, until))

    def _policy_of(self, name: str, sinks: dict[str, SinkPolicy]) -> SinkPolicy:
        try:
            return sinks[name]
        except KeyError:
            raise SinkNotFound(
                f"tidemill.toml has no sink {name!r}.",
                expected=nearest(name, sinks),
                hint=f"Add a section [alerts.sinks.{name}].",
            ) from None
