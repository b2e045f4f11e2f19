"""Datasets and their versions."""

from __future__ import annotations

from tidemill.core.references import Ref
from tidemill.datasets.records import ColumnProfile, DatasetDiff, DatasetVersion, Snapshot
from tidemill.server.operations.subject import USER, Limit, Subject, changes


class Data(Subject):
    """Datasets and their versions."""

    def datasets(self) -> list[DatasetVersion]:
        """The newest version of every dataset."""
        found = (self._home.datasets.latest(name) for name in self._home.datasets.names())
        return [version for version in found if version is not None]

    def dataset_versions(self, dataset: str, limit: Limit = 20) -> list[DatasetVersion]:
        """A dataset's versions, newest first."""
        return self._home.datasets.versions(dataset, limit=limit)

    def dataset_version(self, ref: str) -> DatasetVersion:
        """One dataset version."""
        return self._home.datasets.version(Ref.parse(ref, kind="dataset"))

    def dataset_profile(self, ref: str) -> tuple[ColumnProfile, ...]:
        """The statistics of a dataset version's columns."""
        return self._home.datasets.profile(self.dataset_version(ref))

    def dataset_diff(self, before: str, after: str) -> DatasetDiff:
        """How two dataset versions differ."""
        return self._home.datasets.diff(self.dataset_version(before), self.dataset_version(after))

    @changes
    def take_in(self, dataset: str) -> Snapshot:
        """Look at a dataset's source and take in what is new."""
        return self._home.trainer.take_in(dataset, actor=USER)
