"""Does one thing again and again beside the server: when it is woken, and after a pause."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tidemill.core.errors import TidemillError

logger = logging.getLogger(__name__)
_BREATH = 0.2
"""The shortest time between two rounds, in seconds, however often it is woken."""


class Repeater(threading.Thread):
    """Repeats some work until it is finished; a round that fails is reported and not the last.

    Args:
        name: Of the thread, and in reports.
        work: What is done.
        pause: After how many seconds it is done at the latest.
    """

    def __init__(self, name: str, work: Callable[[], object], pause: float) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._pause = pause
        self._woken = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """Have the work done soon."""
        self._woken.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._work()
            except TidemillError as error:
                logger.warning("%s: %s", self.name, error)
            except Exception:
                logger.exception("%s failed this time around", self.name)
            self._woken.wait(self._pause)
            self._stopping.wait(_BREATH)

    def finish(self, timeout: float | None = None) -> None:
        """Let the round come to its end, and wait for that."""
        self._stopping.set()
        self._woken.set()
        if self.is_alive():
            self.join(timeout)
