"""The history of a model: every alias, stage, verdict and deployment, with who, when and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tidemill.core.events import Fact
from tidemill.journal.service import Journal
from tidemill.loop.records import Change
from tidemill.registry.events import (
    AliasSet,
    ModelDeleted,
    ModelRenamed,
    StageChanged,
    StatusChanged,
    VersionDeleted,
    VersionRegistered,
)
from tidemill.registry.service import Registry
from tidemill.serving.events import Deployed, RolloutMoved

_AT_ONCE = 1000


class Chronicle:
    """Tells the history of models from the journal.

    Args:
        journal: Where everything was written down.
        registry: Knows which models there are.
    """

    def __init__(self, journal: Journal, registry: Registry) -> None:
        self._journal = journal
        self._registry = registry

    def of(self, model: str) -> list[Change]:
        """Return what happened to a model, newest first, under its earlier names too.

        Raises:
            ModelNotFound: No model has that name.
        """
        self._registry.model(model)
        # A name may have been another model's before; so each model's list moves with its name.
        told: dict[str, list[Change]] = {}
        endpoints: dict[str, str] = {}
        for fact in self._facts():
            if fact.type == ModelRenamed.type:
                renamed = fact.read(ModelRenamed)
                told[renamed.model] = told.pop(renamed.previous, [])
            elif fact.type == ModelDeleted.type:
                told.pop(fact.read(ModelDeleted).model, None)
                continue
            name, fields = _READERS[fact.type](fact)
            if fact.type == Deployed.type:
                endpoints[fields["name"]] = name
            name = name or endpoints.get(fields["name"], "")
            change = Change(id=fact.id, time=fact.time, actor=fact.actor, **fields)
            told.setdefault(name, []).append(change)
        return told.get(model, [])[::-1]

    def _facts(self) -> Iterator[Fact]:
        after = 0
        types = [*_READERS, ModelDeleted.type]
        while facts := self._journal.read(after=after, types=types, limit=_AT_ONCE):
            yield from facts
            after = facts[-1].position


Read = tuple[str, dict[str, Any]]


def _registered(fact: Fact) -> Read:
    event = fact.read(VersionRegistered)
    return event.model, {"what": "version", "version": event.version, "after": "registered"}


def _deleted(fact: Fact) -> Read:
    event = fact.read(VersionDeleted)
    return event.model, {"what": "version", "version": event.version, "after": "deleted"}


def _renamed(fact: Fact) -> Read:
    event = fact.read(ModelRenamed)
    return event.model, {"what": "name", "before": event.previous, "after": event.model}


def _alias(fact: Fact) -> Read:
    event = fact.read(AliasSet)
    return event.model, {
        "what": "alias",
        "name": event.alias,
        "version": event.version,
        "before": _number(event.previous),
        "after": _number(event.version),
        "reason": event.reason,
    }


def _stage(fact: Fact) -> Read:
    event = fact.read(StageChanged)
    return event.model, {
        "what": "stage",
        "version": event.version,
        "before": event.previous,
        "after": event.stage,
        "reason": event.reason,
    }


def _status(fact: Fact) -> Read:
    event = fact.read(StatusChanged)
    fields = {"what": "status", "version": event.version, "after": event.status}
    return event.model, fields | {"reason": event.reason}


def _deployed(fact: Fact) -> Read:
    event = fact.read(Deployed)
    return event.model, {
        "what": "deployment",
        "name": event.endpoint,
        "version": event.version,
        "before": _number(event.previous),
        "after": _number(event.version),
        "reason": event.reason,
    }


def _rollout(fact: Fact) -> Read:
    event = fact.read(RolloutMoved)
    return event.model, {
        "what": "rollout",
        "name": event.endpoint,
        "version": event.version,
        "after": f"{event.status} at {event.percent:g}%",
        "reason": event.reason,
    }


def _number(version: int | None) -> str:
    return "" if version is None else str(version)


_READERS: dict[str, Callable[[Fact], Read]] = {
    VersionRegistered.type: _registered,
    VersionDeleted.type: _deleted,
    ModelRenamed.type: _renamed,
    AliasSet.type: _alias,
    StageChanged.type: _stage,
    StatusChanged.type: _status,
    Deployed.type: _deployed,
    RolloutMoved.type: _rollout,
}
