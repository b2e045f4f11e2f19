"""Delivers messages while the control plane runs, each webhook one at a time.

What is to be sent stands in the database before it is sent, and what came of it afterwards: a
process that is killed in between sends it once more, under the same id.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from functools import partial

from tidemill.core.errors import TidemillError
from tidemill.webhooks.child import SenderLost
from tidemill.webhooks.records import Delivery, Outcome
from tidemill.webhooks.service import Webhooks

logger = logging.getLogger(__name__)
_TICK = 0.25
"""Seconds between looks at the journal: waking at every commit would cost those who log."""
_PATIENCE = 5.0
"""Seconds that what is under way has to arrive when the end comes."""


class Dispatcher(threading.Thread):
    """Turns facts into messages and has them sent.

    Args:
        webhooks: The room.
    """

    def __init__(self, webhooks: Webhooks) -> None:
        super().__init__(name="tidemill-webhooks")
        self._webhooks = webhooks
        self._busy: set[str] = set()
        self._ended = threading.Condition()
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Go around until it is stopped; a round that fails is not the last."""
        while not self._stopping:
            try:
                self._webhooks.gather()
                self._begin()
            except Exception:
                logger.exception("webhooks could not be sent")
            self._wake.wait(_TICK)
            self._wake.clear()

    def stop(self) -> None:
        """End it; what is under way and does not arrive soon is sent again another time."""
        self._stopping = True
        self._wake.set()
        self.join()
        with self._ended:
            self._ended.wait_for(lambda: not self._busy, _PATIENCE)

    def _begin(self) -> None:
        with self._ended:
            busy = sorted(self._busy)
        for delivery in self._webhooks.due(busy):
            with self._ended:
                self._busy.add(delivery.hook)
            self._send(delivery).add_done_callback(partial(self._end, delivery))

    def _send(self, delivery: Delivery) -> Future[Outcome]:
        try:
            return self._webhooks.deliver(delivery)
        except TidemillError as error:
            refused: Future[Outcome] = Future()
            refused.set_result(Outcome(id=delivery.id, error=str(error)))
            return refused

    def _end(self, delivery: Delivery, sent: Future[Outcome]) -> None:
        try:
            self._webhooks.settle(delivery, sent.result())
        except SenderLost:
            logger.info("the message %s is sent again: its process was lost", delivery.id)
        except Exception:
            logger.exception("what came of the message %s could not be noted", delivery.id)
        finally:
            with self._ended:
                self._busy.discard(delivery.hook)
                self._ended.notify_all()
            self._wake.set()
