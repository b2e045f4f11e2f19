"""What operators ask of a worker: its health, its metrics, and that its log be on disk.

Several workers share a port, so whichever is asked also asks the others, over the sockets that
they keep in one folder.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Executor
from pathlib import Path

from tidemill.predictions.errors import LogStopped
from tidemill.predictions.writer import INTERVAL
from tidemill.serving.worker.exposition import text
from tidemill.serving.worker.figures import Figures
from tidemill.serving.worker.http import (
    HttpError,
    Request,
    Response,
    json_response,
)
from tidemill.serving.worker.log import Log
from tidemill.serving.worker.peers import ask_all
from tidemill.serving.worker.plane import RETRY, Plane

PEER = b"tidemill-peer"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
_PEER_SECONDS = 10.0
_DURABLE = "durable"
_GROUP_COMMIT = f"group commit, at most {INTERVAL * 1000:.0f} ms at risk"


class Operations:
    """The door.

    Args:
        plane: What is served.
        log: The prediction log.
        figures: What was counted.
        executor: Where the sync is waited for.
        peers: The folder with the workers' sockets, or nothing for a lone worker.
        durable: Whether every answer waits for its log record.
    """

    def __init__(
        self,
        plane: Plane,
        log: Log,
        figures: Figures,
        executor: Executor,
        *,
        peers: Path | None,
        durable: bool,
    ) -> None:
        self._plane = plane
        self._log = log
        self._figures = figures
        self._executor = executor
        self._peers = peers
        self._durable = durable

    def health(self) -> Response:
        """Say what this worker serves."""
        table = self._plane.table
        troubles = table.troubles
        return json_response(
            {
                "status": "ok" if table.generation >= 0 and not troubles else "degraded",
                "pid": os.getpid(),
                "generation": table.generation,
                "endpoints": {
                    name: {
                        str(t.version): {"role": t.role, "weight": t.weight}
                        for t in endpoint.routes.targets
                    }
                    for name, endpoint in table.endpoints.items()
                },
                "problems": troubles,
                "log": {
                    "modes": {
                        name: _DURABLE
                        if self._durable or endpoint.routes.durable
                        else _GROUP_COMMIT
                        for name, endpoint in table.endpoints.items()
                    },
                    "dropped": self._log.dropped,
                },
            },
            200 if table.generation >= 0 else 503,
        )

    def alive(self) -> Response:
        """Say that the server lives, as KServe's first protocol asks it."""
        return json_response({"status": "alive"})

    async def metrics(self) -> Response:
        """Return what all workers counted, those that have ended too."""
        return Response(200, text(await self._figures.all()).encode(), PROMETHEUS)

    async def keep_counts(self) -> Response:
        """Write down what this worker has counted, for the one that is being asked for all."""
        await self._figures.keep()
        return json_response({"kept": True})

    async def flush(self, request: Request) -> Response:
        """Return when everything that any worker answered so far is on disk.

        Raises:
            HttpError: A log cannot be written.
        """
        loop = asyncio.get_running_loop()
        try:
            self._plane.hand_over()
            await loop.run_in_executor(self._executor, self._log.flush)
        except LogStopped as error:
            raise HttpError(503, str(error), RETRY) from error
        if PEER not in request.headers:
            for status, body in await self._ask("POST", "/-/flush"):
                if status != 200:
                    raise HttpError(503, f"Another worker: {body.decode()}", RETRY)
        return json_response({"flushed": True})

    async def _ask(self, method: str, path: str) -> list[tuple[int, bytes]]:
        """Ask the other workers; those that do not answer have died, and have nothing to say."""
        if self._peers is None:
            return []
        try:
            return await ask_all(self._peers, method, path, _PEER_SECONDS)
        except TimeoutError as error:
            raise HttpError(503, "Another worker does not answer.", RETRY) from error
