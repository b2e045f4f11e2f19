"""What a worker may take of the machine's memory, and what it does take."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec

_KIB_PER_MB = 1024.0
ROOM = 1.5
"""What a worker may take of what it needs to begin with, whatever the limit is."""


class Outgrown(msgspec.Struct, frozen=True, kw_only=True):
    """A worker took more memory than it may, and another takes its place.

    Attributes:
        number: Its place among the workers of its port.
        pid: Its process.
        memory_mb: What it took.
        limit_mb: What it may take.
        needed_mb: What it needs for what it serves, before it is asked anything.
    """

    number: int
    pid: int
    memory_mb: float
    limit_mb: float
    needed_mb: float


class Allowance:
    """What one worker may take: the limit, or half as much again as it needs where that is more.

    A worker whose models need more than the limit would be replaced by another that needs as much,
    for ever. What it needs is what it takes when it begins to serve; and what it takes more when it
    has loaded other versions, told by the two looks around that, so that a leak in between is none
    of it.

    Args:
        limit_mb: What any worker may take.

    Example:
        >>> allowance = Allowance(300.0)
        >>> allowance.seen(100.0, generation=1), allowance.seen(280.0, generation=1)
        (300.0, 300.0)
        >>> Allowance(300.0).seen(400.0, generation=1)
        600.0
    """

    def __init__(self, limit_mb: float) -> None:
        self._limit = limit_mb
        self._generation: int | None = None
        self._seen: deque[float] = deque(maxlen=2)
        self.needed_mb = 0.0

    def seen(self, used_mb: float, *, generation: int) -> float:
        """Take in what the worker takes with a route table; return what it may take, in MB."""
        if self._generation is None:
            self.needed_mb = used_mb
        elif generation != self._generation:
            more = used_mb - self._seen[0]
            self.needed_mb = min(max(self.needed_mb + more, 0.0), used_mb)
        self._generation = generation
        self._seen.append(used_mb)
        return max(self._limit, ROOM * self.needed_mb)


def own_memory_mb(pid: int) -> float:
    """Return the memory that a process shares with nobody, in megabytes; 0 where it has ended.

    Files that are mapped and what the keeper reads, too, are left out: neither is a leak.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / _KIB_PER_MB
    return 0.0
