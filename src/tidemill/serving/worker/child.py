"""A version without a twin: its model answers from processes of its own.

To plane and doors it is a version like any other. Its batches are made where they wait, before the
processes: what arrives while all of them are busy is answered together.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from tidemill.core.clock import Clock
from tidemill.models.errors import ModelsError
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.model import RuntimeModel
from tidemill.models.runtime.pool import PoolState, Reply
from tidemill.serving.routes import RouteTarget, Runtime
from tidemill.serving.worker.batching import Done
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.version import Outcome, Version, apart


class ChildVersion(Version):
    """A version whose original answers, in its own environment.

    Args:
        folder: The bundle.
        target: Which version it is.
        clock: Tells durations.
        environments: Where its environment has been built.
        runtime: What its processes may use, and whether a pickle may be loaded in them.
        refuse_out_of_contract: Whether values outside the contract are refused.

    Raises:
        TidemillError: It cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        target: RouteTarget,
        clock: Clock,
        *,
        environments: Environments,
        runtime: Runtime,
        refuse_out_of_contract: bool = True,
    ) -> None:
        self._model = RuntimeModel(
            folder,
            environments=environments,
            trust=runtime.trust,
            keys=runtime.keys,
            limits=runtime.limits,
            clock=clock,
            refuse_out_of_contract=refuse_out_of_contract,
        )
        super().__init__(target, self._model.manifest, self._model.encoder)
        try:
            warm = self.example()
            self._model.pool.ask(warm.matrices, warm.count)
        except ModelsError:
            self.close()
            raise

    def submit(self, rows: Rows, done: Done) -> None:
        """Have rows answered; `done` is called in a thread of the model's.

        Raises:
            TooBusy: Too many rows wait for the model.
            NoChild: None of its processes is alive.
        """

        def answered(answer: Reply | ModelsError) -> None:
            done(answer if isinstance(answer, ModelsError) else self._outcome(answer, rows))

        self._model.pool.submit(rows.matrices, rows.count, answered)

    def state(self) -> PoolState:
        """Tell how its processes fare."""
        return self._model.state()

    def close(self) -> None:
        """Answer what waits, and end the processes."""
        self._model.close()

    def _outcome(self, answer: Reply, rows: Rows) -> Outcome | Exception:
        return apart(self._model.read(answer.values), [rows], answer.call)[0]


class ChildQueue:
    """Hands requests over to the processes, and their answers back to the event loop.

    Args:
        version: Whose processes they are.
        loop: The worker's event loop.
    """

    def __init__(self, version: ChildVersion, loop: asyncio.AbstractEventLoop) -> None:
        self._version = version
        self._loop = loop

    def add(self, rows: Rows, done: Done) -> None:
        """Have rows answered; `done` is called once, in the event loop."""

        def back(outcome: Outcome | Exception) -> None:
            self._loop.call_soon_threadsafe(done, outcome)

        try:
            self._version.submit(rows, back)
        except ModelsError as error:
            self._loop.call_soon(done, error)

    def close(self) -> None:
        """Let the processes answer what waits, and end; takes its time in a thread of its own."""
        threading.Thread(target=self._version.close, name="tidemill-ending", daemon=True).start()
