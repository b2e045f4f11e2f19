"""What a source of MLflow's holds, in the words of this house."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import msgspec

from tidemill.registry.records import Model, ModelVersion
from tidemill.tracking.records import LoggedModel, Run, RunLinks


class SourceRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the source has it.

    Attributes:
        run: The run; its experiment is the source's.
        links: What it read and wrote.
        place: Where its artifacts are said to be.
        points: How many points its metrics have, where that is cheaply known.
    """

    run: Run
    links: RunLinks = RunLinks()
    place: str = ""
    points: int | None = None


class SourceModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model as the source has it.

    Attributes:
        model: The model; its experiment is the source's.
        place: Where its files are said to be.
    """

    model: LoggedModel
    place: str = ""


class SourceRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model as the source has it.

    Attributes:
        model: The model, with its aliases.
        versions: In order; what they come from is as the source says it.
    """

    model: Model
    versions: tuple[ModelVersion, ...] = ()


class SourceFile(msgspec.Struct, frozen=True):
    """A file of a run or of a logged model.

    Attributes:
        path: Relative to its owner; not trusted yet.
        open: Opens it for reading.
    """

    path: str
    open: Callable[[], BinaryIO]


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is of everything.

    Attributes:
        experiments: How many.
        runs: Likewise.
        params: Of runs and logged models.
        tags: Likewise.
        points: Of metrics, histories included.
        inputs: Datasets and models that runs read or wrote.
        artifacts: Files of runs and logged models.
        logged_models: How many.
        models: Registered.
        versions: Of registered models.
        aliases: Of registered models.
    """

    experiments: int = 0
    runs: int = 0
    params: int = 0
    tags: int = 0
    points: int = 0
    inputs: int = 0
    artifacts: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0
    aliases: int = 0

    def __add__(self, other: Tally) -> Tally:
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return Tally(**{name: mine[name] + theirs[name] for name in mine})

    def missing(self, found: Tally) -> dict[str, int]:
        """Return how much of this is not in what was found, where anything is.

        Example:
            >>> Tally(runs=3, tags=1).missing(Tally(runs=2, tags=5))
            {'runs': 1}
        """
        theirs = msgspec.structs.asdict(found)
        lacks = {k: v - theirs[k] for k, v in msgspec.structs.asdict(self).items()}
        return {name: count for name, count in lacks.items() if count > 0}


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import brought.

    Attributes:
        source: Where from.
        read: What the source holds.
        here: What this home holds of it now.
        skipped: Files that are no regular files, such as links.
        left_out: Owners of artifacts that were left where they are, as was asked for.
    """

    source: str
    read: Tally
    here: Tally
    skipped: int = 0
    left_out: int = 0
