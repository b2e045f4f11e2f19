"""Builds every room of a home.

Rooms are built when they are first asked for, so that a command that only lists runs does not pay
for a trainer.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import NotFound
from tidemill.core.ids import Ids
from tidemill.core.once import once
from tidemill.core.policy import Policy, ServingPolicy
from tidemill.core.policy.reader import read_policy
from tidemill.home.opening import POLICY, home_record, named_database
from tidemill.home.shelf import Shelf
from tidemill.home.tables import declared_tables
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.homes.database import open_database
from tidemill.storage.homes.errors import HomeNotFound
from tidemill.storage.homes.records import HomeRecord
from tidemill.storage.lock import OwnerLock

if TYPE_CHECKING:
    from datetime import datetime

    from tidemill.datasets.service import Datasets
    from tidemill.exchange.mlflow.importing import MlflowImport
    from tidemill.exchange.whole.exporting import Exporter
    from tidemill.exchange.whole.restoring import Restorer
    from tidemill.loop.adoption import Adoption
    from tidemill.loop.chronicle import Chronicle
    from tidemill.loop.controller import Controller
    from tidemill.loop.incidents.service import Incidents
    from tidemill.loop.reproduction import Reproducer
    from tidemill.loop.rollouts import Rollouts
    from tidemill.loop.shadows import Shadows
    from tidemill.loop.tracing import Tracer
    from tidemill.loop.trainer import Trainer
    from tidemill.monitoring.alerts.delivery import Dispatcher
    from tidemill.monitoring.alerts.service import Alerts
    from tidemill.monitoring.alerts.steadiness import SteadyPolicy
    from tidemill.monitoring.episodes import Episodes
    from tidemill.monitoring.health.service import HealthWatch
    from tidemill.monitoring.records import WindowReport
    from tidemill.monitoring.service import Monitor
    from tidemill.pipelines.service import Pipelines
    from tidemill.registry.catalogue import Catalogue
    from tidemill.registry.service import Registry
    from tidemill.serving.looks import Looks
    from tidemill.serving.plans import Plans
    from tidemill.serving.service import Deployments
    from tidemill.serving.shadows import ShadowReports
    from tidemill.serving.supervisor import Supervisor
    from tidemill.tracking.logged_models import LoggedModels
    from tidemill.tracking.service import Tracking
    from tidemill.upkeep.letterbox import Keeper
    from tidemill.upkeep.service import Upkeep
    from tidemill.webhooks.child import Sender
    from tidemill.webhooks.service import Webhooks

DEFAULT = ".tidemill"
_HISTORY = ("journal_", "lineage_")


class Home:
    """An opened home. Whoever opened it owns it until `close`.

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

    @once
    def shelf(self) -> Shelf:
        """Where models, code and artifacts lie written out."""
        return Shelf(
            self.path,
            self.blobs,
            lambda: self.policy,
            lambda: self.registry,
            lambda: self.tracking,
        )

    @once
    def datasets(self) -> Datasets:
        """Versions of tables."""
        from tidemill.datasets.service import Datasets

        return Datasets(self.db, self.blobs, self.journal, self.clock)

    @once
    def tracking(self) -> Tracking:
        """Experiments and runs."""
        from tidemill.tracking.service import Tracking

        return Tracking(self.db, self.blobs, self.journal, self.clock, self.ids)

    @once
    def logged_models(self) -> LoggedModels:
        """Models that runs have logged, registered or not."""
        from tidemill.tracking.logged_models import LoggedModels

        return LoggedModels(self.db, self.blobs, self.journal, self.clock, self.ids)

    @once
    def registry(self) -> Registry:
        """Models and their versions."""
        from tidemill.registry.service import Registry

        return Registry(self.db, self.journal, self.lineage, self.clock)

    @once
    def catalogue(self) -> Catalogue:
        """What people write about models, and the search in it."""
        from tidemill.registry.catalogue import Catalogue

        return Catalogue(self.db, self.journal, self.lineage, self.clock)

    @once
    def mlflow_import(self) -> MlflowImport:
        """What brings an MLflow across."""
        from tidemill.exchange.mlflow.importing import MlflowImport
        from tidemill.registry.intake import RegistryIntake
        from tidemill.tracking.intake import Intake

        return MlflowImport(
            Intake(self.db, self.journal, self.ids),
            RegistryIntake(self.db, self.journal, self.lineage),
            self.blobs,
            self.journal,
        )

    @once
    def pipelines(self) -> Pipelines:
        """Pipeline runs."""
        from tidemill.pipelines.service import Pipelines

        return Pipelines(
            self.db,
            self.blobs,
            self.path / "blobs",
            self.tracking,
            self.journal,
            self.clock,
            self.path / "runs",
            surroundings=self._surround,
        )

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
    def deployments(self) -> Deployments:
        """What stands behind endpoints."""
        from tidemill.serving.service import Deployments

        return Deployments(
            db=self.db,
            journal=self.journal,
            lineage=self.lineage,
            clock=self.clock,
            ids=self.ids,
            routes=self.routes_file,
            prepare=self.shelf.prepare,
            policies=self._serving_policies,
            runtimes=self.shelf.runtimes,
        )

    @once
    def plans(self) -> Plans:
        """What says what a change of traffic would do."""
        from tidemill.serving.plans import Plans

        return Plans(self.deployments, self.clock)

    @once
    def monitor(self) -> Monitor:
        """What watches endpoints."""
        from tidemill.monitoring.service import Monitor

        return Monitor(
            self.db, self.journal, self.clock, self.predictions_folder, self.shelf.reference
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
    def dispatcher(self) -> Dispatcher:
        """What carries messages to people."""
        from tidemill.monitoring.alerts.delivery import Dispatcher
        from tidemill.monitoring.alerts.secrets import Secrets

        return Dispatcher(
            self.db,
            self.journal,
            self.clock,
            self.ids,
            policy=self._alert_policy,
            secrets=Secrets(os.environ, self.project),
            logs=self.path / "logs",
        )

    @once
    def incidents(self) -> Incidents:
        """What tells what happened around alerts."""
        from tidemill.loop.incidents.service import Incidents

        return Incidents(self.alerts, self.monitor, self.journal, self.clock, lambda: self.policy)

    @once
    def episodes(self) -> Episodes:
        """Findings that stand until they end."""
        from tidemill.monitoring.episodes import Episodes

        return Episodes(self.db, self.journal)

    @once
    def health(self) -> HealthWatch:
        """What watches the machine and the processes."""
        from tidemill.monitoring.health.service import HealthWatch

        return HealthWatch(
            self.db, self.clock, self.episodes, lambda: self.policy.health, self._served
        )

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
    def shadow_reports(self) -> ShadowReports:
        """The comparisons of shadows."""
        from tidemill.serving.shadows import ShadowReports

        return ShadowReports(self.db, self.journal)

    @once
    def looks(self) -> Looks:
        """The looks at rollouts' evidence."""
        from tidemill.serving.looks import Looks

        return Looks(self.db, self.journal, self.clock)

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

    @once
    def exporter(self) -> Exporter:
        """What writes the whole home out."""
        from tidemill.exchange.whole.exporting import Exporter

        return Exporter(
            db=self.db,
            tables=declared_tables(),
            blobs=self.blobs,
            predictions=self.predictions_folder,
            runs=self.path / "runs",
        )

    @once
    def restorer(self) -> Restorer:
        """What makes a home of an export again."""
        from tidemill.exchange.whole.restoring import Restorer

        return Restorer(
            db=self.db,
            tables=declared_tables(),
            blobs=self.blobs,
            predictions=self.predictions_folder,
            runs=self.path / "runs",
        )

    @once
    def webhook_sender(self) -> Sender:
        """The process that sends webhooks; it starts when there is something to send."""
        from tidemill.webhooks.child import Sender

        return Sender()

    @once
    def webhooks(self) -> Webhooks:
        """Who is told what happens to models, where the settings allow it.

        Raises:
            BadWebhook: The setting names a host that cannot be one.
        """
        from tidemill.core.settings import resolve
        from tidemill.webhooks.destinations import Allowed
        from tidemill.webhooks.sealing import Box
        from tidemill.webhooks.service import Webhooks

        said = resolve(environment=os.environ, file=self.policy.settings)["webhook_hosts"]
        return Webhooks(
            self.db,
            self.journal,
            self.clock,
            self.ids,
            Box(self.path / "keys" / "webhooks.key"),
            Allowed(str(said.value)),
            self.webhook_sender.submit,
        )

    @once
    def keeper(self) -> Keeper:
        """What looks after the prediction log."""
        from tidemill.upkeep.letterbox import Keeper

        return Keeper(
            self.predictions_folder,
            self._serving_policies,
            self.journal,
            self.clock,
            SystemClock(),
        )

    @once
    def upkeep(self) -> Upkeep:
        """What erases, and gives space back."""
        from tidemill.tracking.erasure import Erasure
        from tidemill.upkeep.service import Upkeep

        return Upkeep(
            db=self.db,
            # What history mentions is not kept alive by it: it tells of what is gone, too.
            tables=[t for t in declared_tables() if not t.name.startswith(_HISTORY)],
            blobs=self.blobs,
            erasure=Erasure(self.journal),
            journal=self.journal,
            clock=self.clock,
            machine=SystemClock(),
            bundles=self.shelf.bundles,
            runs=self.path / "runs",
        )

    @property
    def routes_file(self) -> Path:
        """The route table that workers read."""
        return self.path / "serving" / "routes.json"

    def supervisor(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        header_clock: bool = False,
        allow_hosts: tuple[str, ...] = (),
        grpc_port: int | None = None,
        access_log: Path | None = None,
        worker_memory: float | None = None,
        max_body: int | None = None,
        max_rows: int | None = None,
    ) -> Supervisor:
        """Return a supervisor of this home's workers, not started yet."""
        from tidemill.serving.outgrown import noting
        from tidemill.serving.supervisor import Supervisor
        from tidemill.serving.worker.limits import BODY, ROWS

        return Supervisor(
            routes=self.routes_file,
            bundles=self.shelf.bundles,
            environments=self.shelf.environments,
            predictions=self.predictions_folder,
            peers=self.path / "serving" / "peers",
            log=self.path / "logs" / "workers.log",
            host=host,
            port=port,
            workers=workers,
            header_clock=header_clock,
            allow_hosts=allow_hosts,
            grpc_port=grpc_port,
            access_log=access_log,
            memory_mb=worker_memory,
            max_body=max_body or BODY,
            max_rows=max_rows or ROWS,
            outgrown=noting(self.deployments, self.journal),
        )

    @once
    def _alert_policy(self) -> SteadyPolicy:
        from tidemill.monitoring.alerts.steadiness import SteadyPolicy

        return SteadyPolicy(lambda: self.policy.alerts)

    def _surround(self, run_id: str) -> Mapping[str, str]:
        return self.surroundings(run_id)

    def _windows_since(self, endpoint: str, since: datetime | None) -> list[WindowReport]:
        """Ask the monitor, which is made when it is first asked: it brings much with it."""
        return self.monitor.windows(endpoint, since=since)

    def _served(self, endpoint: str) -> tuple[str, int]:
        try:
            champion = self.deployments.get(endpoint).champion
        except NotFound:
            return "", 0
        return champion.model, champion.version

    def _serving_policies(self) -> dict[str, ServingPolicy]:
        return {
            policy.serving.endpoint or name: policy.serving
            for name, policy in self.policy.models.items()
        }
