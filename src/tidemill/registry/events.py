"""The facts that the registry writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event


class ModelRegistered(Event, frozen=True, kw_only=True):
    """A name was made under which versions can be registered.

    Attributes:
        model: The name.
        description: For people.
        tags: For people and programs.
    """

    type: ClassVar[str] = "model.registered"
    model: str
    description: str
    tags: dict[str, str]


class ModelRenamed(Event, frozen=True, kw_only=True):
    """A model and all of its versions have another name since.

    Attributes:
        model: The name now.
        previous: The name before.
    """

    type: ClassVar[str] = "model.renamed"
    model: str
    previous: str


class ModelDeleted(Event, frozen=True, kw_only=True):
    """A model was deleted with its versions.

    Attributes:
        model: Its name.
        versions: The versions that went with it.
    """

    type: ClassVar[str] = "model.deleted"
    model: str
    versions: tuple[int, ...]


class VersionRegistered(Event, frozen=True, kw_only=True):
    """A model version was registered.

    Attributes:
        model: Its name.
        version: Its number.
        run_id: The run that made it, where one is known.
        dataset: What it learned from.
        metrics: Its quality on held-out rows; null where one could not be computed.
        source: Where its files are, if it has no bundle.
        tags: For people and programs.
        description: For people.
    """

    type: ClassVar[str] = "version.registered"
    model: str
    version: int
    run_id: str | None
    dataset: str | None
    metrics: dict[str, float | None]
    source: str = ""
    tags: dict[str, str] = {}
    description: str = ""


class VersionPacked(Event, frozen=True, kw_only=True):
    """A version that was only files has a bundle since.

    Attributes:
        model: Its name.
        version: Its number.
        bundle: The digest of the bundle.
        flavor: The framework's name.
    """

    type: ClassVar[str] = "version.packed"
    model: str
    version: int
    bundle: str
    flavor: str


class VersionDeleted(Event, frozen=True, kw_only=True):
    """A version was deleted; its number is not given again.

    Attributes:
        model: Its name.
        version: Its number.
    """

    type: ClassVar[str] = "version.deleted"
    model: str
    version: int


class AliasSet(Event, frozen=True, kw_only=True):
    """An alias names another version since, or none.

    Attributes:
        model: The model.
        alias: The alias.
        version: What it names now.
        previous: What it named before.
        reason: Why.
    """

    type: ClassVar[str] = "alias.set"
    model: str
    alias: str
    version: int | None
    previous: int | None
    reason: str


class StageChanged(Event, frozen=True, kw_only=True):
    """A version is in another stage since.

    Attributes:
        model: The model.
        version: The version.
        stage: Its stage now.
        previous: Its stage before.
        reason: Why.
    """

    type: ClassVar[str] = "version.stage-changed"
    model: str
    version: int
    stage: str
    previous: str
    reason: str = ""


class StatusChanged(Event, frozen=True, kw_only=True):
    """A version was approved, rejected or archived.

    Attributes:
        model: The model.
        version: The version.
        status: Its status now.
        reason: Why.
    """

    type: ClassVar[str] = "version.status-changed"
    model: str
    version: int
    status: str
    reason: str


class TagChanged(Event, frozen=True, kw_only=True):
    """A tag of a model, or of one of its versions, was set or removed.

    Attributes:
        model: The model.
        version: The version; nothing where it is the model's own tag.
        key: The tag.
        value: Its value now; nothing where it was removed.
    """

    type: ClassVar[str] = "model.tag-changed"
    model: str
    version: int | None
    key: str
    value: str | None


class Described(Event, frozen=True, kw_only=True):
    """A model, or one of its versions, has another description since.

    Attributes:
        model: The model.
        version: The version; nothing where it is the model's own description.
        description: What it says now.
    """

    type: ClassVar[str] = "model.described"
    model: str
    version: int | None
    description: str
