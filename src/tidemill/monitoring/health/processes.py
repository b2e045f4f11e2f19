"""What `/proc` says of the machine and of the processes that belong to a home."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import msgspec

TICKS = float(os.sysconf("SC_CLK_TCK"))
PAGE = os.sysconf("SC_PAGE_SIZE")
_WORKER = "tidemill.serving.worker"
_ZYGOTE = "tidemill.pipelines.executors.zygote"
_MONITOR = "tidemill.monitoring.apart"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process.

    Attributes:
        pid: Its number.
        parent: Its parent's.
        born: When it was started, in ticks since the machine was; with the number it is unique.
        cpu: Processor time that it used, in seconds.
        memory: Resident memory in bytes.
        threads: How many threads it has.
        command: The words that it was started with.
    """

    pid: int
    parent: int
    born: int
    cpu: float
    memory: int
    threads: int
    command: tuple[str, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine.

    Attributes:
        cpu: Processor time in use since it was started, all processors together, in seconds.
        processors: How many it has.
        memory: Its memory in bytes.
        available: How much of it can be had without swapping.
        load: How many processes wait for a processor, over a minute.
    """

    cpu: float
    processors: int
    memory: int
    available: int
    load: float


def machine(root: Path = Path("/proc")) -> Machine:
    """Return how the machine fares."""
    fields = [float(v) for v in (root / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    sizes = {}
    for line in (root / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    total = sizes["MemTotal"]
    return Machine(
        cpu=(sum(fields) - idle) / TICKS,
        processors=os.cpu_count() or 1,
        memory=total,
        available=sizes.get("MemAvailable", sizes.get("MemFree", total)),
        load=float((root / "loadavg").read_text().split()[0]),
    )


def process(pid: int, root: Path = Path("/proc")) -> Process | None:
    """Return one process, or nothing where it has ended."""
    folder = root / str(pid)
    try:
        stat = (folder / "stat").read_text()
        command = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    # The name may hold anything, brackets and spaces too: fields are counted from its end.
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 22:
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        born=int(fields[19]),
        cpu=(float(fields[11]) + float(fields[12])) / TICKS,
        memory=max(int(fields[21]), 0) * PAGE,
        threads=int(fields[17]),
        command=tuple(os.fsdecode(word) for word in command if word),
    )


def family(owner: int, root: Path = Path("/proc")) -> list[Process]:
    """Return a process and all that descend from it."""
    pids = [int(p.name) for p in root.iterdir() if p.name.isdigit()]
    known = [p for pid in pids if (p := process(pid, root)) is not None]
    children: dict[int, list[Process]] = {}
    for one in known:
        children.setdefault(one.parent, []).append(one)
    found = [p for p in known if p.pid == owner]
    for one in found:
        found.extend(children.get(one.pid, ()))
    return found


def subjects(processes: Iterable[Process], owner: int) -> dict[int, str]:
    """Return what each process is to a home, by its number.

    The owner is the control plane; workers are told apart by their number; what a worker has
    started are the models' processes, and what the warm process has, the steps'.

    Example:
        >>> def made(pid, parent, *command):
        ...     return Process(pid=pid, parent=parent, born=0, cpu=0.0, memory=0, threads=1,
        ...                    command=command)
        >>> found = [made(1, 0, "tidemill", "up"),
        ...          made(2, 1, "python", "-m", "tidemill.serving.worker", "--number", "0"),
        ...          made(3, 2, "python", "model.py"), made(4, 1, "git")]
        >>> subjects(found, 1)
        {1: 'control plane', 2: 'worker 0', 3: 'models', 4: 'control plane'}
    """
    known = {p.pid: p for p in processes}
    return {pid: _subject(known, pid, owner) for pid in known}


def _subject(known: dict[int, Process], pid: int, owner: int) -> str:
    one: Process | None = known[pid]
    below = False
    while one is not None and one.pid != owner:
        if _WORKER in one.command:
            return "models" if below else f"worker {_number(one.command)}"
        if _ZYGOTE in one.command:
            return "steps"
        if _MONITOR in one.command:
            return "monitor"
        below = True
        one = known.get(one.parent)
    return "control plane"


def _number(command: tuple[str, ...]) -> str:
    for word, following in pairwise(command):
        if word == "--number":
            return following
    return "0"
