"""Models, their versions, and the changes of their aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.references import Ref
from tidemill.core.tasks import Task
from tidemill.registry.errors import VersionNotPacked

VersionStatus = Literal["ready", "rejected", "archived"]
Stage = Literal["None", "Staging", "Production", "Archived"]
STAGES: tuple[Stage, ...] = ("None", "Staging", "Production", "Archived")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which versions are registered.

    Attributes:
        name: Unique in the home.
        created: When it was made, by hand or with its first version.
        updated: When it or one of its versions last changed.
        description: For people.
        tags: For people and programs.
        aliases: Which version each alias names.
        latest: The newest version.
    """

    name: str
    created: datetime
    updated: datetime
    description: str = ""
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    latest: int | None = None


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model: what was made, from what, and how good it was.

    Attributes:
        model: The model's name.
        version: Counts from 1; a number is never given twice.
        bundle: The digest of the stored bundle folder; nothing while the version is only files
            that another program logged.
        source: Where the files are, as whoever registered it said; empty for a bundle.
        model_id: The logged model that it was registered from.
        run_id: The run that made it, where one is known.
        dataset: The dataset version that it learned from, as a reference.
        task: What it does; nothing while it is not packed.
        flavor: The framework's name; empty while it is not packed.
        metrics: Its quality on held-out rows.
        status: `ready`, `rejected` or `archived`.
        stage: MLflow's stage.
        created: When it was registered.
        updated: When something about it last changed.
        actor: Who registered it.
        tags: For people and programs.
        description: For people.
        run_link: Where the run is to be looked at, as whoever registered it said.
        aliases: The aliases that name it now.
    """

    model: str
    version: int
    bundle: str | None = None
    source: str = ""
    model_id: str | None = None
    run_id: str | None = None
    dataset: str | None = None
    task: Task | None = None
    flavor: str = ""
    metrics: dict[str, float] = {}
    status: VersionStatus
    stage: Stage = "None"
    created: datetime
    updated: datetime
    actor: str
    tags: dict[str, str] = {}
    description: str = ""
    run_link: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> Ref:
        """`model:NAME@VERSION`."""
        return Ref("model", self.model, str(self.version))

    @property
    def packed(self) -> str:
        """The digest of its bundle.

        Raises:
            VersionNotPacked: It has none yet.
        """
        if self.bundle is None:
            raise VersionNotPacked(
                f"{self.ref} has no bundle: it is only files that were logged.",
                expected="a version that was packed for serving",
                hint=f"Pack it with: tidemill models pack '{self.ref}'",
            )
        return self.bundle


class AliasChange(msgspec.Struct, frozen=True, kw_only=True):
    """An alias was set or removed.

    Attributes:
        id: The id of the journal's fact.
        time: When.
        model: The model's name.
        alias: Which.
        version: What it names since; nothing where it was removed.
        previous: What it named before.
        actor: Who did it.
        reason: Why.
    """

    id: str
    time: datetime
    model: str
    alias: str
    version: int | None
    previous: int | None
    actor: str
    reason: str
