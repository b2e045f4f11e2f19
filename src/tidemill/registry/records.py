"""Models, their versions, and the changes of their aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.references import Ref
from tidemill.core.tasks import Task

VersionStatus = Literal["ready", "rejected", "archived"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which versions are registered.

    Attributes:
        name: Unique in the home.
        created: When the first version was registered.
        description: For people.
        tags: For people and programs.
        aliases: Which version each alias names.
        latest: The newest version.
    """

    name: str
    created: datetime
    description: str = ""
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    latest: int | None = None


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model: what was made, from what, and how good it was.

    Attributes:
        model: The model's name.
        version: Counts from 1.
        bundle: The digest of the stored bundle folder.
        run_id: The run that made it.
        dataset: The dataset version that it learned from, as a reference.
        task: What it does.
        flavor: The framework's name.
        metrics: Its quality on held-out rows.
        status: `ready`, `rejected` or `archived`.
        created: When it was registered.
        actor: Who registered it.
        tags: For people and programs.
        description: For people.
        aliases: The aliases that name it now.
    """

    model: str
    version: int
    bundle: str
    run_id: str
    dataset: str | None
    task: Task
    flavor: str
    metrics: dict[str, float]
    status: VersionStatus
    created: datetime
    actor: str
    tags: dict[str, str] = {}
    description: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> Ref:
        """`model:NAME@VERSION`."""
        return Ref("model", self.model, str(self.version))


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
