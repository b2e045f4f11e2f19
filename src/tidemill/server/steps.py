"""Gives MLflow, where a pipeline's step uses it, a door into the home and the step's own run.

Whatever a step logs through MLflow's client belongs to the pipeline's run: its data, code and
environment are known, and nobody has to say so.
"""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn

    from tidemill.home import Home


@contextmanager
def steps_door(home: Home) -> Iterator[None]:
    """Have a door open for the steps of a home that no server owns, from the first step on.

    Nothing is opened where MLflow is not installed.

    Args:
        home: The home.
    """
    door = _Door(home)
    home.surroundings = door.surroundings
    try:
        yield
    finally:
        door.close()


class _Door:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._address = ""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def surroundings(self, run_id: str) -> Mapping[str, str]:
        if importlib.util.find_spec("mlflow") is None:
            return {}
        with self._lock:
            if self._server is None:
                self._open()
        from tidemill.server.doors import for_mlflow

        return for_mlflow(self._home, self._address, run_id)

    def close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()

    def _open(self) -> None:
        import uvicorn

        from tidemill.server.app import LOCAL
        from tidemill.server.doors import mlflow_door
        from tidemill.server.guard import Guard

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self._address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                Guard(mlflow_door(self._home), LOCAL),
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="tidemill-steps-door", daemon=True
        )
        self._thread.start()
