"""Long work that runs in the owner, beside its answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tidemill.core.errors import TidemillError
from tidemill.core.ids import Ids
from tidemill.server.encoding import status_of
from tidemill.server.operations.errors import UnderWay, UnknownOperation
from tidemill.server.operations.records import Job


class Jobs:
    """The long work of one owner.

    Args:
        ids: Name the jobs.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def get(self, id: str) -> Job:
        """Return a job.

        Raises:
            UnknownOperation: There is none of that id.
        """
        try:
            return self._jobs[id]
        except KeyError:
            raise UnknownOperation(f"There is no job {id!r}.") from None

    def start(self, work: Callable[[Job], None], name: str) -> Job:
        """Start work in a thread of its own.

        Raises:
            UnderWay: Work of the same name has not come to its end yet.
        """
        with self._lock:
            if any(not j.done and j.id.startswith(f"{name} ") for j in self._jobs.values()):
                raise UnderWay(
                    f"“{name}” is under way already.", hint="Wait for it to come to its end."
                )
            job = Job(id=f"{name} {self._ids.new()}")
            self._jobs[job.id] = job

        def run() -> None:
            try:
                work(job)
            except TidemillError as error:
                job.error, job.code, job.status = str(error), error.code, status_of(error)
            except Exception as error:
                job.error, job.code = f"{type(error).__name__}: {error}", "INTERNAL"
            job.done = True

        threading.Thread(target=run, name=name, daemon=True).start()
        return job
