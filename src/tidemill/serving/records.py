"""What stands behind an endpoint, and how a candidate gets there."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.policy import RolloutPolicy
from tidemill.core.references import Ref

RolloutStatus = Literal["running", "promoted", "rolled-back", "superseded"]
Action = Literal["hold", "advance", "promote", "rollback"]
PartRole = Literal["champion", "canary", "split", "shadow", "standby"]


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


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A version with a fixed share of the traffic.

    Attributes:
        target: Which.
        percent: How much of it.
    """

    target: Target
    percent: float


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """A version that sees every request and answers none.

    Attributes:
        target: Which.
        since: From when on.
    """

    target: Target
    since: datetime


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind an endpoint.

    Attributes:
        endpoint: Its name.
        champion: What answers whatever no other version does.
        history: What answered before, newest first: where rollbacks go back to.
        keep: How many of those stay warm; as the policy says where it is left out.
        canary: What answers a part, while a rollout runs.
        canary_percent: How large a part.
        split: What answers fixed shares beside the champion.
        shadows: What is mirrored.
        changed: When it last changed.
        decision: The id of the fact that changed it last.
    """

    endpoint: str
    champion: Target
    history: tuple[Target, ...] = ()
    keep: int | None = None
    canary: Target | None = None
    canary_percent: float = 0.0
    split: tuple[Share, ...] = ()
    shadows: tuple[Mirror, ...] = ()
    changed: datetime
    decision: str = ""

    @property
    def previous(self) -> Target | None:
        """What answered before."""
        return self.history[0] if self.history else None

    @property
    def champion_percent(self) -> float:
        """The champion's share of the traffic."""
        return 100.0 - self.canary_percent - sum(s.percent for s in self.split)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one version has to do behind an endpoint.

    Attributes:
        model: The model's name.
        version: Its number.
        role: `champion`, `canary` and `split` answer, `shadow` is mirrored, `standby` is warm.
        percent: Its share of the traffic.
    """

    model: str
    version: int
    role: PartRole
    percent: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would make of an endpoint.

    Attributes:
        endpoint: Which.
        sentence: What would change, for people.
        before: How it stands.
        after: How it would stand.
    """

    endpoint: str
    sentence: str
    before: tuple[Part, ...]
    after: tuple[Part, ...]


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
        steps_started: When each step so far began.
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
    steps_started: tuple[datetime, ...] = ()
    reason: str

    @property
    def percent(self) -> float:
        """The candidate's share of the traffic at this step."""
        return self.policy.steps[self.step]
