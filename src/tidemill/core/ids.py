"""UUIDv7 identifiers, written as 32 hex digits: sorted by time, and valid MLflow run ids."""

from __future__ import annotations

import random
import re
import threading
from datetime import datetime

from tidemill.core.clock import Clock, from_micros, micros

_ID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")


class Ids:
    """Makes ids from the clock and the source of randomness that it is given.

    Ids made within one millisecond stay in order: the 12 bits after the version digit count up
    (RFC 9562, section 6.2, method 1).

    Args:
        clock: Gives the time part.
        rng: Gives the random part; a seeded one makes a simulation repeatable.
    """

    def __init__(self, clock: Clock, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._lock = threading.Lock()
        self._last = 0
        self._count = 0

    def reserve(self, count: int) -> tuple[int, int, bytes]:
        """Take the next ids for rows that come by the thousand, without making each.

        Returns:
            The milliseconds and the counter of the first id, and 8 random bytes for each. The
            counter goes on from there, and after 4,095 the next millisecond begins.
        """
        with self._lock:
            millis = max(micros(self._clock.now()) // 1000, self._last + 1)
            self._last = millis + (count - 1) // 0x1000
            self._count = (count - 1) % 0x1000
            return millis, 0, self._rng.randbytes(8 * count)

    def new(self) -> str:
        """Return a new id, larger than any that this maker gave before."""
        with self._lock:
            millis = max(micros(self._clock.now()) // 1000, self._last)
            self._count = self._count + 1 if millis == self._last else 0
            if self._count > 0xFFF:
                millis, self._count = millis + 1, 0
            self._last = millis
            tail = self._rng.getrandbits(62)
            value = millis << 80 | 0x7 << 76 | self._count << 64 | 0b10 << 62 | tail
        return f"{value:032x}"


def is_id(text: str) -> bool:
    """Tell whether `text` is an id as `Ids` writes them.

    Example:
        >>> is_id("0192f4c1a2b37def8123456789abcdef"), is_id("42")
        (True, False)
    """
    return _ID.fullmatch(text) is not None


def moment_of(identifier: str) -> datetime:
    """Return when an id was made, to the millisecond.

    Example:
        >>> moment_of("0192f4c1a2b37def8123456789abcdef").year
        2024
    """
    return from_micros(int(identifier[:12], 16) * 1000)
