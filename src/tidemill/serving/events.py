"""The facts that serving writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event


class Deployed(Event, frozen=True, kw_only=True):
    """All of an endpoint's traffic goes to a version since.

    Attributes:
        endpoint: Which endpoint.
        model: Of which model.
        version: Which version answers now.
        previous: Which one did before.
        reason: Why.
    """

    type: ClassVar[str] = "endpoint.deployed"
    endpoint: str
    model: str
    version: int
    previous: int | None
    reason: str


class RolloutMoved(Event, frozen=True, kw_only=True):
    """A rollout began, took a step, or came to its end.

    Attributes:
        rollout: Its id.
        endpoint: Which endpoint.
        version: The candidate.
        status: How it stands.
        percent: The candidate's share of the traffic now.
        reason: Why.
        numbers: The figures behind it.
        model: Of which model; it was not always written down.
    """

    type: ClassVar[str] = "rollout.moved"
    rollout: str
    endpoint: str
    version: int
    status: str
    percent: float
    reason: str
    numbers: dict[str, float] = {}
    model: str = ""
