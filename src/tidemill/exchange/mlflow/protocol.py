"""The seam: what any source of MLflow's must tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tidemill.exchange.mlflow.records import SourceFile, SourceModel, SourceRegistered, SourceRun
from tidemill.tracking.records import Experiment, Metric


class Source(Protocol):
    """Reads everything that one MLflow keeps, deleted things included, and writes nothing.

    Everything may be asked for more than once. What it returns is typed and not trusted: names,
    ids and paths are checked by whoever keeps them.

    Attributes:
        name: What people call it: a path or an address, without a password.
        skipped: How many files were passed over because they are no regular files.
    """

    @property
    def name(self) -> str: ...

    @property
    def skipped(self) -> int: ...

    def elsewhere(self) -> list[str]:
        """Return where artifacts are said to be that this source may not read, each place once."""
        ...

    def experiments(self) -> list[Experiment]:
        """Return all experiments.

        Raises:
            BadSource: The source is damaged.
            SourceUnreachable: The server does not answer.
        """
        ...

    def count_runs(self) -> int:
        """Return how many runs there are, at least about."""
        ...

    def runs(self) -> Iterator[list[SourceRun]]:
        """Go through all runs, some at a time."""
        ...

    def points(self, run: SourceRun) -> Iterator[list[Metric]]:
        """Go through all points of a run's metrics, some at a time, each point once."""
        ...

    def models(self) -> Iterator[list[SourceModel]]:
        """Go through all logged models, some at a time."""
        ...

    def registered(self) -> Iterator[SourceRegistered]:
        """Go through all registered models."""
        ...

    def files(self, owner: SourceRun | SourceModel) -> Iterator[SourceFile]:
        """Go through the files of a run or a logged model.

        Raises:
            ArtifactsElsewhere: They lie where this source may not read.
        """
        ...

    def close(self) -> None:
        """Let go of the source."""
        ...
