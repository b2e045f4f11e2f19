"""What stands behind an endpoint, and how a candidate gets there."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.policy import RolloutPolicy
from tidemill.core.references import Ref

RolloutStatus = Literal["running", "promoted", "rolled-back", "superseded"]
Action = Literal["hold", "advance", "promote", "rollback"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A model version that can serve.

    Attributes:
        model: The model's name.
        version: Its number.
        bundle: The digest of its bundle folder.
    """

    model: str
    version: int
    bundle: str

    @property
    def ref(self) -> Ref:
        """`model:NAME@VERSION`."""
        return Ref("model", self.model, str(self.version))


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind an endpoint.

    Attributes:
        endpoint: Its name.
        champion: What answers.
        previous: What answered before, kept warm for a rollback.
        canary: What answers a part, while a rollout runs.
        canary_percent: How large a part.
        changed: When it last changed.
        decision: The id of the fact that changed it last.
    """

    endpoint: str
    champion: Target
    previous: Target | None = None
    canary: Target | None = None
    canary_percent: float = 0.0
    changed: datetime
    decision: str = ""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate on its way to all of the traffic.

    Attributes:
        id: UUIDv7.
        endpoint: Where.
        candidate: What is rolled out.
        champion: What it is compared with.
        policy: How.
        step: Which of the policy's steps it is at, from 0.
        status: How it stands.
        started: When it began.
        step_started: When its step began.
        reason: Why it stands as it does.
    """

    id: str
    endpoint: str
    candidate: Target
    champion: Target
    policy: RolloutPolicy
    step: int
    status: RolloutStatus
    started: datetime
    step_started: datetime
    reason: str

    @property
    def percent(self) -> float:
        """The candidate's share of the traffic at this step."""
        return self.policy.steps[self.step]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """How candidate and champion fared since the rollout began, as plain numbers.

    Attributes:
        predictions: How many the candidate answered.
        errors: How many of its requests failed.
        losses: The candidate's losses, in the order in which labels arrived.
        champion_losses: The champion's, likewise.
    """

    predictions: int
    errors: int
    losses: tuple[float, ...] = ()
    champion_losses: tuple[float, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a rollout, and why.

    Attributes:
        action: What to do.
        reason: One sentence for people.
        numbers: The figures that it rests on.
    """

    action: Action
    reason: str
    numbers: dict[str, float] = {}
