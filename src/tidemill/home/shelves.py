"""The rooms of a home that keep things: datasets, runs, models, and what moves and erases them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidemill.core.clock import SystemClock
from tidemill.core.once import once
from tidemill.home.ground import Ground
from tidemill.home.shelf import Shelf
from tidemill.home.tables import declared_tables

if TYPE_CHECKING:
    from tidemill.datasets.service import Datasets
    from tidemill.exchange.mlflow.importing import MlflowImport
    from tidemill.exchange.whole.exporting import Exporter
    from tidemill.exchange.whole.holdings import Holdings
    from tidemill.exchange.whole.restoring import Restorer
    from tidemill.registry.catalogue import Catalogue
    from tidemill.registry.service import Registry
    from tidemill.tracking.logged_models import LoggedModels
    from tidemill.tracking.service import Tracking
    from tidemill.upkeep.letterbox import Keeper
    from tidemill.upkeep.service import Upkeep
    from tidemill.webhooks.child import Sender
    from tidemill.webhooks.service import Webhooks

_HISTORY = ("journal_", "lineage_")


class Shelves(Ground):
    """The rooms that keep things."""

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
    def exporter(self) -> Exporter:
        """What writes the whole home out."""
        from tidemill.exchange.whole.exporting import Exporter

        return Exporter(self._holdings)

    @once
    def restorer(self) -> Restorer:
        """What makes a home of an export again."""
        from tidemill.exchange.whole.restoring import Restorer

        return Restorer(self._holdings)

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
    def _holdings(self) -> Holdings:
        from tidemill.exchange.whole.holdings import Holdings

        return Holdings(
            db=self.db,
            tables=declared_tables(),
            blobs=self.blobs,
            predictions=self.predictions_folder,
            runs=self.path / "runs",
        )
