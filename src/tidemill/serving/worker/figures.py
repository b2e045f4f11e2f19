"""What a worker tells of itself and of all: its counts, its process, and what its peers counted."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import tidemill
from tidemill.core.clock import Clock
from tidemill.serving.worker.counting import Metrics
from tidemill.serving.worker.metrics import Labels, Sample, Snapshot, total
from tidemill.serving.worker.peers import ask_all
from tidemill.serving.worker.table import Table
from tidemill.serving.worker.tallies import KEEP, Tallies

_PEER_SECONDS = 1.0
Also = Callable[[], Iterable[Sample]]


class Figures:
    """The counts of this worker, and with them those of all.

    Args:
        metrics: What was counted.
        also: What others count for themselves: the logs, the connections, the plane.
        table: What is served now.
        clock: Tells when the worker was started.
        peers: The folder that the workers share, or nothing for a lone one.
        number: The worker's place among the others.
    """

    def __init__(
        self,
        metrics: Metrics,
        also: Also,
        table: Callable[[], Table],
        clock: Clock,
        *,
        peers: Path | None,
        number: int,
    ) -> None:
        self._metrics = metrics
        self._also = also
        self._table = table
        self._peers = peers
        self._worker: Labels = (("worker", str(number)),)
        self._started = clock.now().timestamp()
        born = int(clock.monotonic() * 1e6)
        self._turn = asyncio.Lock()
        self._tallies = None if peers is None else Tallies(peers, os.getpid(), born)

    async def all(self) -> Snapshot:
        """Return what all workers have counted so far.

        One that hangs has its say by what it wrote down last: it must not take the others with it.
        """
        if self._peers is None or self._tallies is None:
            return self._own()
        with suppress(TimeoutError):
            await ask_all(self._peers, "POST", KEEP, _PEER_SECONDS)
        own = await self.keep()
        others = await asyncio.to_thread(self._tallies.others)
        return total([own, *(_still_served(o, self._table()) for o in others)])

    async def keep(self) -> Snapshot:
        """Write down what this worker has counted, where others read it, and return it."""
        # One at a time: of two, the older must not be written last.
        async with self._turn:
            own = self._own()
            if self._tallies is not None:
                await asyncio.to_thread(self._tallies.write, own)
        return own

    def close(self) -> None:
        """Write down the last of it."""
        if self._tallies is not None:
            self._tallies.write(self._own())

    def _own(self) -> Snapshot:
        table = self._table()
        states = [
            Sample("tidemill_routes_generation", self._worker, table.generation),
            Sample("tidemill_build_info", (("version", tidemill.__version__),), 1),
            *_process(self._worker, self._started),
            *_problems(table, self._worker),
            *_children(table, self._worker),
            *_info(table),
        ]
        return self._metrics.snapshot([*self._also(), *states])


def _still_served(found: Snapshot, table: Table) -> Snapshot:
    """Return what concerns what is served now: versions that are gone would pile up for years."""
    versions = {(name, str(number)) for name, e in table.endpoints.items() for number in e.versions}
    endpoints = {"?", *table.endpoints, *table.problems}

    def counts(labels: Labels) -> bool:
        named = dict(labels)
        if "endpoint" not in named:
            return True
        if "version" in named:
            return (named["endpoint"], named["version"]) in versions
        return named["endpoint"] in endpoints

    return Snapshot(
        [s for s in found.samples if counts(s.labels)],
        [d for d in found.distributions if counts(d.labels)],
    )


def _problems(table: Table, worker: Labels) -> list[Sample]:
    return [
        Sample("tidemill_endpoint_problem", (*worker, ("endpoint", name)), 1)
        for name in table.troubles
    ]


def _children(table: Table, worker: Labels) -> list[Sample]:
    """Return how the processes of models without a twin fare."""
    found = []
    for name, endpoint in table.endpoints.items():
        for version in endpoint.versions.values():
            state = version.state()
            if state is None:
                continue
            labels = (*worker, ("endpoint", name), ("version", str(version.number)))
            found += [
                Sample("tidemill_model_processes", labels, state.alive),
                Sample("tidemill_model_restarts_total", labels, state.restarts),
                Sample("tidemill_model_memory_bytes", labels, state.memory),
                Sample("tidemill_model_rows_waiting", labels, state.waiting),
            ]
    return found


def _info(table: Table) -> list[Sample]:
    return [
        Sample(
            "tidemill_served_info",
            (
                ("endpoint", name),
                ("model", target.model),
                ("version", str(target.version)),
                ("role", target.role),
            ),
            1,
        )
        for name, endpoint in table.endpoints.items()
        for target in endpoint.routes.targets
    ]


def _process(worker: Labels, started: float) -> list[Sample]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    values = {
        "process_cpu_seconds_total": used.ru_utime + used.ru_stime,
        "process_resident_memory_bytes": float(pages * os.sysconf("SC_PAGE_SIZE")),
        "process_start_time_seconds": started,
        "process_open_fds": float(sum(1 for _ in Path("/proc/self/fd").iterdir())),
    }
    return [Sample(name, worker, value) for name, value in values.items()]
