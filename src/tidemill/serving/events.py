"""The facts that serving writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event
from tidemill.serving.records import Part


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


class TrafficChanged(Event, frozen=True, kw_only=True):
    """An endpoint's traffic was divided, mirrored, or versions were kept warm, by hand.

    Attributes:
        endpoint: Which endpoint.
        parts: What each version has to do since.
        reason: Why.
    """

    type: ClassVar[str] = "endpoint.traffic"
    endpoint: str
    parts: tuple[Part, ...]
    reason: str


class RolloutJudged(Event, frozen=True, kw_only=True):
    """The verdict on a rollout is another than before, or rests on other findings.

    Attributes:
        rollout: Its id.
        endpoint: Which endpoint.
        version: The candidate.
        action: What is to be done: `hold`, `advance`, `promote` or `rollback`.
        code: The kind of reason, for programs.
        reason: Why, in one sentence.
        findings: What the tests have shown, in sentences.
        numbers: The figures behind it.
    """

    type: ClassVar[str] = "rollout.judged"
    rollout: str
    endpoint: str
    version: int
    action: str
    code: str
    reason: str
    findings: tuple[str, ...] = ()
    numbers: dict[str, float] = {}


class ShadowCompared(Event, frozen=True, kw_only=True):
    """A shadow was compared with what was answered, on twice as many requests as before.

    Attributes:
        endpoint: Which endpoint.
        version: The shadow.
        requests: On how many requests.
        agreement: The share of rows with the same answer.
        mean_difference: By how much scores or values are larger on average.
        largest_difference: The largest difference either way.
        loss_difference: By how much its loss is larger, where labels came.
    """

    type: ClassVar[str] = "shadow.compared"
    endpoint: str
    version: int
    requests: int
    agreement: float
    mean_difference: float
    largest_difference: float
    loss_difference: float | None = None


class WorkerOutgrown(Event, frozen=True, kw_only=True):
    """A worker that served an endpoint took more memory than it may, and another took its place.

    Attributes:
        endpoint: One of those that it served; each has a fact of its own.
        number: The worker's place among those of its port.
        memory_mb: What it took.
        limit_mb: What it may take.
        needed_mb: What it needed when it began to serve; 0 where that is not known.
    """

    type: ClassVar[str] = "worker.outgrown"
    endpoint: str
    number: int
    memory_mb: float
    limit_mb: float
    needed_mb: float = 0.0
