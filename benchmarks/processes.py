"""What processes take of the machine."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    """Return all processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def proportional(pid: int) -> float:
    """Return a process's share of memory, in megabytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
