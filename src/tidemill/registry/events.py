"""The facts that the registry writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event


class VersionRegistered(Event, frozen=True, kw_only=True):
    """A model version was registered.

    Attributes:
        model: Its name.
        version: Its number.
        run_id: The run that made it.
        dataset: What it learned from.
        metrics: Its quality on held-out rows; null where one could not be computed.
    """

    type: ClassVar[str] = "version.registered"
    model: str
    version: int
    run_id: str
    dataset: str | None
    metrics: dict[str, float | None]


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
