"""What a worker may take of the machine's memory, and what it does take."""

from __future__ import annotations

from pathlib import Path

import msgspec

_KIB_PER_MB = 1024.0


class Outgrown(msgspec.Struct, frozen=True, kw_only=True):
    """A worker took more memory than it may, and another takes its place.

    Attributes:
        number: Its place among the workers of its port.
        pid: Its process.
        memory_mb: What it took.
        limit_mb: What it may take.
    """

    number: int
    pid: int
    memory_mb: float
    limit_mb: float


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
