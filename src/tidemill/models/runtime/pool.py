"""Some processes of one model, and the queue before them.

What arrives while all processes are busy is answered together by the next one that is free, so
that batches grow with the load and a lone request waits for nobody. A process that ends or hangs
is replaced; what it had in its hands is given to another, twice at the most and alone, so that rows
which kill a process take no others with them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.core.clock import Clock
from tidemill.models.calls import Call
from tidemill.models.errors import (
    ChildEnded,
    ModelNotLoaded,
    ModelRaised,
    ModelsError,
    NoChild,
    TooBusy,
    TooSlow,
)
from tidemill.models.records import Manifest
from tidemill.models.runtime.child import Child
from tidemill.models.runtime.limits import Limits

logger = logging.getLogger(__name__)
BATCH_ROWS = 256
"""The most rows that are answered together; a larger request is answered alone."""
_TRIES = 3
_TICK = 0.2
_YOUNG = 5.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_PATIENCE = 5
"""After how many short lives in a row a pool without a living process refuses requests; more than
one request that kills its process every time can bring about."""


class Reply(msgspec.Struct, frozen=True):
    """What a model said of the rows of one request.

    Attributes:
        values: Probabilities or values, a row each.
        call: The call that gave them; requests of one batch share it.
    """

    values: NDArray[np.float64]
    call: Call


Answered = Callable[["Reply | ModelsError"], None]


class Item:
    """The rows of one request on their way.

    Args:
        matrices: As an encoder made them.
        rows: How many.
        due: When they are given up, in seconds of the monotonic clock.
        done: Is called with the answer, in a thread of the pool's.
    """

    __slots__ = ("alone", "done", "due", "matrices", "rows", "tries")

    def __init__(self, matrices: list[NDArray[Any]], rows: int, due: float, done: Answered) -> None:
        self.matrices = matrices
        self.rows = rows
        self.due = due
        self.done = done
        self.tries = 0
        self.alone = False


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool fares.

    Attributes:
        alive: How many of its processes are ready or busy.
        restarts: How many were replaced since it began.
        memory: What the processes use together, in bytes.
        waiting: How many rows wait.
        problem: Why the last process ended or did not start; empty while all is well.
    """

    alive: int
    restarts: int
    memory: int
    waiting: int
    problem: str


class Pool:
    """Processes of one model.

    Args:
        python: The interpreter of the model's environment.
        folder: The bundle.
        manifest: Its manifest.
        limits: How many processes, and what they may use.
        clock: Tells durations.

    Raises:
        ModelNotLoaded: A first process cannot load the model.
    """

    def __init__(
        self, python: Path, folder: Path, manifest: Manifest, limits: Limits, clock: Clock
    ) -> None:
        self._start: Callable[[], Child] = partial(Child, python, folder, manifest, limits)
        self._name = manifest.name
        self._limits = limits
        self._clock = clock
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._queue: deque[Item] = deque()
        self._rows = 0
        self._problem = ""
        self._slots: list[_Slot] = []
        try:
            while len(self._slots) < limits.processes:
                self._slots.append(_Slot(self, self._start(), clock))
        except ModelNotLoaded:
            for slot in self._slots:
                slot.child.kill()
            raise
        self._threads = [
            threading.Thread(target=run, name=f"tidemill-{self._name}", daemon=True)
            for run in (*(slot.run for slot in self._slots), self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, matrices: list[NDArray[Any]], rows: int, done: Answered) -> None:
        """Have rows answered; `done` is called once, in a thread of the pool's.

        Raises:
            TooBusy: Too many rows are waiting.
            NoChild: Every process has ended, and none could be started for a while.
        """
        with self._changed:
            if self._stopping.is_set() or all(slot.hopeless for slot in self._slots):
                raise NoChild(
                    f"No process of the model {self._name!r} is alive: "
                    + (self._problem or "it is being taken away."),
                    hint="Try again in a few seconds.",
                )
            if self._rows and self._rows + rows > self._limits.waiting_rows:
                raise TooBusy(
                    f"{self._rows:,} rows are waiting for the model {self._name!r}.",
                    expected=f"at most {self._limits.waiting_rows:,}",
                    hint="Try again in a second.",
                )
            due = self._clock.monotonic() + self._limits.call_seconds
            self._queue.append(Item(matrices, rows, due, done))
            self._rows += rows
            self._changed.notify()

    def ask(self, matrices: list[NDArray[Any]], rows: int) -> NDArray[np.float64]:
        """Return the answer for rows, however long the model may take for them.

        Raises:
            ModelsError: There is none.
        """
        found: list[Reply | ModelsError] = []
        ready = threading.Event()

        def done(answer: Reply | ModelsError) -> None:
            found.append(answer)
            ready.set()

        self.submit(matrices, rows, done)
        ready.wait()
        (answer,) = found
        if isinstance(answer, ModelsError):
            raise answer
        return answer.values

    def state(self) -> PoolState:
        """Tell how it fares."""
        with self._changed:
            alive = [slot for slot in self._slots if slot.ready]
            return PoolState(
                alive=len(alive),
                restarts=sum(slot.restarts for slot in self._slots),
                memory=sum(slot.child.memory for slot in alive),
                waiting=self._rows,
                problem="" if len(alive) == len(self._slots) else self._problem,
            )

    def pids(self) -> list[int]:
        """Return the processes that are alive."""
        return [slot.child.pid for slot in self._slots if slot.ready]

    def close(self) -> None:
        """Answer what is waiting, then end every process."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._expire(everything=True)

    # What the slots need.

    def take(self) -> list[Item] | None:
        """Wait for rows, and return as many requests as are answered together.

        Returns:
            Nothing when the pool is closing and nothing is left; an empty list now and then, so
            that whoever waits can look after its process.
        """
        with self._changed:
            if not self._queue:
                if self._stopping.is_set():
                    return None
                self._changed.wait(_TICK)
            batch: list[Item] = []
            rows = 0
            while self._queue:
                item = self._queue[0]
                if batch and (item.alone or batch[0].alone or rows + item.rows > BATCH_ROWS):
                    break
                batch.append(self._queue.popleft())
                rows += item.rows
            return batch

    def settle(self, item: Item, answer: Reply | ModelsError) -> None:
        """Hand an answer out."""
        with self._changed:
            self._rows -= item.rows
        item.done(answer)

    def one_by_one(self, batch: list[Item]) -> None:
        """Have requests answered once more, each alone, before all others."""
        for item in batch:
            item.alone = True
        with self._changed:
            self._queue.extendleft(reversed(batch))
            self._changed.notify(len(batch))

    def again(self, batch: list[Item], error: ModelsError) -> None:
        """Have requests tried once more, or fail those that were tried before."""
        for item in batch:
            item.tries += 1
            if item.tries >= _TRIES:
                self.settle(item, error)
        self.one_by_one([item for item in batch if item.tries < _TRIES])

    def restart(self, slot: _Slot, problem: ModelsError) -> None:
        """Start a process again; waits longer with each that fails."""
        self._problem = problem.what
        while not self._stopping.wait(_pause(slot.failures)):
            try:
                slot.begin(self._start())
            except ModelNotLoaded as error:
                self._problem = error.what
                slot.failures += 1
                logger.error("%s", error)
            else:
                return

    def _watch(self) -> None:
        """Give up what has waited too long, and end processes that use too much memory."""
        while not self._stopping.wait(_TICK):
            self._expire()
            for slot in self._slots:
                slot.check_memory(self._limits.memory)

    def _expire(self, *, everything: bool = False) -> None:
        now = self._clock.monotonic()
        with self._changed:
            late = [item for item in self._queue if everything or item.due < now]
            for item in late:
                self._queue.remove(item)
        for item in late:
            waited = f"waited {self._limits.call_seconds:g} s for the model {self._name!r}"
            self.settle(item, NoChild(f"The rows {waited}. {self._problem}".strip()))


class _Slot:
    """One place for a process, and the thread that asks it."""

    def __init__(self, pool: Pool, child: Child, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._born = clock.monotonic()
        self._too_large = False
        self.child = child
        self.ready = True
        self.restarts = 0
        self.failures = 0

    @property
    def hopeless(self) -> bool:
        """Whether it has no process, and the last few did not last."""
        return not self.ready and self.failures >= _PATIENCE

    def begin(self, child: Child) -> None:
        """Go on with another process."""
        self.child = child
        self._born = self._clock.monotonic()
        self._too_large = False
        self.restarts += 1
        self.ready = True

    def run(self) -> None:
        """Answer until the pool closes."""
        while (batch := self._pool.take()) is not None:
            try:
                if batch:
                    self._answer(batch)
                elif not self.child.alive:
                    raise ChildEnded("A process of the model ended by itself.")
            except (ChildEnded, TooSlow) as error:
                self._replace(batch, error)
        self.ready = False
        self.child.close()

    def check_memory(self, most: int) -> None:
        """End a process that leaks: its limit counts what it reserved, this what it uses."""
        if most and self.ready and self.child.memory > most:
            self._too_large = True
            self.child.shoot()

    def _answer(self, batch: list[Item]) -> None:
        began = self._clock.monotonic()
        try:
            answers = self.child.answer(_together(batch), sum(item.rows for item in batch))
        except ModelRaised as error:
            if len(batch) == 1:
                self._pool.settle(batch[0], error)
                return
            self._pool.one_by_one(batch)  # one that it cannot answer takes no other with it
            return
        self.failures = 0
        call = Call(began, self._clock.monotonic() - began)
        start = 0
        for item in batch:
            self._pool.settle(item, Reply(answers[start : start + item.rows], call))
            start += item.rows

    def _replace(self, batch: list[Item], error: ModelsError) -> None:
        self.ready = False
        if self._too_large:
            error = ChildEnded("A process of the model used more memory than its limit.")
        logger.error("a process is replaced: %s", error)
        if self._clock.monotonic() - self._born < _YOUNG:
            self.failures += 1
        if isinstance(error, TooSlow):
            for item in batch:
                self._pool.settle(item, error)
        else:
            self._pool.again(batch, error)
        self._pool.restart(self, error)


def _together(batch: list[Item]) -> list[NDArray[Any]]:
    if len(batch) == 1:
        return batch[0].matrices
    return [np.concatenate(group) for group in zip(*(i.matrices for i in batch), strict=True)]


def _pause(failures: int) -> float:
    """Return how long to wait before the next start.

    Example:
        >>> [_pause(n) for n in (0, 1, 2, 20)]
        [0.0, 0.1, 0.2, 10.0]
    """
    return min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE) if failures else 0.0
