"""An opened home, with every room.

Rooms are built when they are first asked for, so that a command that only lists runs does not pay
for a trainer. They are divided as the house is: what all stand on, shelves, workshops, and here the
loop, which needs all of them.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.clock import Clock, SystemClock
from tidemill.core.once import once
from tidemill.home.opening import home_record, named_database
from tidemill.home.workshops import Workshops
from tidemill.storage.homes.errors import HomeNotFound

if TYPE_CHECKING:
    from tidemill.loop.adoption import Adoption
    from tidemill.loop.chronicle import Chronicle
    from tidemill.loop.controller import Controller
    from tidemill.loop.incidents.service import Incidents
    from tidemill.loop.reproduction import Reproducer
    from tidemill.loop.rollouts import Rollouts
    from tidemill.loop.shadows import Shadows
    from tidemill.loop.tracing import Tracer
    from tidemill.loop.trainer import Trainer
    from tidemill.monitoring.alerts.service import Alerts

DEFAULT = ".tidemill"


class Home(Workshops):
    """An opened home. Whoever opened it owns it until `close`."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        project: Path | None = None,
        database: str | None = None,
        create: bool = True,
    ) -> Home:
        """Open a home, and own it.

        Args:
            path: The folder.
            clock: Tells every room the time; the machine's where it is left out.
            rng: Makes ids; the machine's randomness where it is left out.
            project: The project's folder; remembered. Where it is left out, the one remembered,
                or else the folder that the home lies in, if it has a policy.
            database: The URL of a database, or `sqlite` for a file in the home. Where it is left
                out, the one that `TIDEMILL_DATABASE` or the project's settings name, or the one
                that the home remembers, or else a file in the home.
            create: Whether a home is made where there is none.

        Raises:
            HomeNotFound: There is none, and none was to be made.
            HomeTooNew: It was made by a newer Tidemill.
            HomeOwned: Another process owns it.
            RecordsElsewhere: It keeps its records in another database than the one named.
            DatabaseOfAnotherHome: The database holds the records of another home.
            RecordsGone: The database held its records, and was emptied since.
        """
        path = path.absolute()
        if not create and not (path / "home.json").exists():
            raise HomeNotFound(
                f"There is no home at {path}.",
                hint="Make a project with `tidemill init`, or name a home with --home.",
            )
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        record = home_record(path, project)
        named = database or named_database(path, record)
        return cls(path, record, clock=clock or SystemClock(), rng=rng, database=named)

    def close(self) -> None:
        """Finish every write and give the home up."""
        if "pipelines" in self.__dict__:
            self.pipelines.close()
        if "keeper" in self.__dict__:
            self.keeper.close()
        if "webhook_sender" in self.__dict__:
            self.webhook_sender.close()
        self.db.close()
        self.lock.release()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @once
    def trainer(self) -> Trainer:
        """Makes models by the policy."""
        from tidemill.loop.recording import Recording
        from tidemill.loop.trainer import Trainer

        return Trainer(
            policy=self.policy,
            project=self.project,
            unpack=self.shelf.unpack,
            environments=self.shelf.environments,
            signer=self.shelf.signer,
            scratch=self.path / "runs",
            blobs=self.blobs,
            journal=self.journal,
            lineage=self.lineage,
            datasets=self.datasets,
            registry=self.registry,
            pipelines=self.pipelines,
            roll_out=self.rollouts,
            record=Recording(self.predictions_folder, self.blobs),
            clock=self.clock,
            ids=self.ids,
        )

    @once
    def alerts(self) -> Alerts:
        """What a person should know."""
        from tidemill.loop.alerting import LoopSource
        from tidemill.monitoring.alerts.gauges import HealthGauges
        from tidemill.monitoring.alerts.service import Alerts
        from tidemill.monitoring.alerts.sources import MonitorSource
        from tidemill.upkeep.alerting import LogSource

        return Alerts(
            self.db,
            self.journal,
            self.clock,
            self.ids,
            policy=self._alert_policy,
            sources=(MonitorSource(self.journal, self._windows_since), LoopSource(), LogSource()),
            gauges=(HealthGauges(self.health, self.clock, self._served),),
        )

    @once
    def incidents(self) -> Incidents:
        """What tells what happened around alerts."""
        from tidemill.loop.incidents.service import Incidents

        return Incidents(self.alerts, self.monitor, self.journal, self.clock, lambda: self.policy)

    @once
    def rollouts(self) -> Rollouts:
        """What judges candidates in traffic."""
        from tidemill.loop.evidence import Gathering
        from tidemill.loop.rollouts import Rollouts
        from tidemill.monitoring.arms import Arms

        arms = Arms(self.db, self.shelf.signature, self.shelf.reference)
        return Rollouts(self.deployments, Gathering(arms), self.looks, self.registry, self.clock)

    @once
    def shadows(self) -> Shadows:
        """What compares shadows with what was answered."""
        from tidemill.loop.shadows import Shadows
        from tidemill.monitoring.mirrors import Mirrors

        mirrors = Mirrors(self.db, self.shelf.signature)
        return Shadows(self.deployments, mirrors, self.shadow_reports, self.clock)

    @once
    def controller(self) -> Controller:
        """What closes the loop."""
        from tidemill.loop.controller import Controller

        return Controller(
            trainer=self.trainer,
            monitor=self.monitor,
            rollouts=self.rollouts,
            shadows=self.shadows,
            alerts=self.alerts,
            journal=self.journal,
            clock=self.clock,
            ids=self.ids,
        )

    @once
    def chronicle(self) -> Chronicle:
        """What tells the history of models."""
        from tidemill.loop.chronicle import Chronicle

        return Chronicle(self.journal, self.registry)

    @once
    def tracer(self) -> Tracer:
        """What follows predictions back."""
        from tidemill.loop.tracing import Tracer

        return Tracer(
            self.predictions_folder, self.journal, self.registry, self.tracking, self.datasets
        )

    @once
    def reproducer(self) -> Reproducer:
        """What makes runs again."""
        from tidemill.loop.reproduction import Reproducer

        return Reproducer(self.trainer, self.pipelines, self.tracking, self.registry, self.blobs)

    @once
    def adoption(self) -> Adoption:
        """What makes bundles of models that MLflow's client registered."""
        from tidemill.loop.adoption import Adoption

        return Adoption(
            self.registry,
            self.logged_models,
            self.tracking,
            self.blobs,
            self.shelf.surroundings,
            self.clock,
        )
