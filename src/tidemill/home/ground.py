"""What every room of a home stands on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from tidemill.core.clock import Clock
from tidemill.core.ids import Ids
from tidemill.core.policy import Policy, ServingPolicy
from tidemill.core.policy.reader import read_policy
from tidemill.home.opening import POLICY
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.homes.database import open_database
from tidemill.storage.homes.records import HomeRecord
from tidemill.storage.lock import OwnerLock


class Ground:
    """What every room stands on: a home's folder, its database, its files and what happened there.

    Whoever made it owns the home until it is closed.

    Args:
        path: The folder.
        record: What `home.json` says.
        clock: Tells every room the time.
        rng: Makes ids; a seeded one makes a simulation repeatable.
        database: The database's URL that was named, or `sqlite`; where it is left out, the one
            that the home remembers, or else a file in the home.
    """

    def __init__(
        self,
        path: Path,
        record: HomeRecord,
        *,
        clock: Clock,
        rng: random.Random | None,
        database: str | None,
    ) -> None:
        self.path = path
        self.clock = clock
        self.ids = Ids(clock, rng)
        self.lock = OwnerLock(path)
        try:
            self.db, self.record = open_database(path, record, database, self.ids.new)
        except BaseException:
            self.lock.release()
            raise
        self.blobs = LocalBlobs(path / "blobs")
        self.journal = Journal(self.db, clock, self.ids)
        self.lineage = Lineage(self.db, clock)
        self.surroundings: Callable[[str], Mapping[str, str]] = lambda _: {}
        """Returns the variables that a pipeline's steps find, by the id of their run."""

    @property
    def project(self) -> Path | None:
        """The project's folder, where it has one."""
        return None if self.record.project is None else Path(self.record.project)

    @property
    def policy(self) -> Policy:
        """What the project's `tidemill.toml` says now.

        Raises:
            BadPolicy: It cannot be read.
        """
        if self.project is None or not (self.project / POLICY).exists():
            return Policy()
        path = self.project / POLICY
        return read_policy(path.read_bytes(), filename=str(path))

    @property
    def predictions_folder(self) -> Path:
        """Where the letterbox lies."""
        return self.path / "predictions"

    @property
    def routes_file(self) -> Path:
        """The route table that workers read."""
        return self.path / "serving" / "routes.json"

    def _serving_policies(self) -> dict[str, ServingPolicy]:
        return {
            policy.serving.endpoint or name: policy.serving
            for name, policy in self.policy.models.items()
        }
