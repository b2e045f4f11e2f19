"""How a candidate fared in traffic, and what is to become of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from tidemill.core.moments import Moments
from tidemill.predictions.records import ShadowExample
from tidemill.serving.records import Action

if TYPE_CHECKING:  # commands read these records, and have no use for arrays
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
Code = Literal[
    "by-hand",
    "errors",
    "latency",
    "quality",
    "shift",
    "watching",
    "requests",
    "labels",
    "unproven",
    "deadline",
    "healthy",
]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """A version's requests.

    Attributes:
        requests: How many it was asked.
        errors: How many of them failed.
        latencies: How many took how long, by `EDGES`; the last beyond all of them.
    """

    requests: int = 0
    errors: int = 0
    latencies: tuple[int, ...] = ()

    def slower(self, edge: int) -> int:
        """Return how many took longer than an edge, by its number."""
        return sum(self.latencies[edge + 1 :])

    def joined(self, other: Counts) -> Counts:
        """Return both together."""
        mine, theirs = self.latencies, other.latencies
        width = max(len(mine), len(theirs))
        return Counts(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            latencies=tuple(
                (mine[i] if i < len(mine) else 0) + (theirs[i] if i < len(theirs) else 0)
                for i in range(width)
            ),
        )


class StepCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of candidate and champion during one step, in which shares do not change.

    Attributes:
        percent: The candidate's share.
        candidate: Its requests.
        champion: The champion's.
    """

    percent: float
    candidate: Counts = Counts()
    champion: Counts = Counts()


class Units(msgspec.Struct, frozen=True):
    """Sums by unit, a unit being what was assigned to a version as a whole: a request, or a key.

    Rows of one request are not independent of each other; units are.

    Attributes:
        totals: The sum over each unit's rows, in the order in which units came.
        sizes: How many rows each has.
    """

    totals: Floats
    sizes: Floats

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return int(self.sizes.sum())

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(self.totals)


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """One way to divide all possible answers in two.

    Attributes:
        name: The part whose share is compared, for people.
        candidate: How many of the candidate's answers are in it.
        champion: How many of the champion's.
    """

    name: str
    candidate: Units | Moments
    champion: Units | Moments


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """How candidate and champion fared since the rollout began.

    Attributes:
        steps: Their requests, step by step.
        usual_ms: The champion's 99th percentile of latency before the rollout, where it is known.
        losses: The candidate's losses, where labels came.
        champion_losses: The champion's.
        divisions: How their answers are distributed.
    """

    steps: tuple[StepCounts, ...] = ()
    usual_ms: float | None = None
    losses: Units | Moments | None = None
    champion_losses: Units | Moments | None = None
    divisions: tuple[Division, ...] = ()

    @property
    def candidate(self) -> Counts:
        """The candidate's requests in all steps."""
        return _joined([s.candidate for s in self.steps])

    @property
    def champion(self) -> Counts:
        """The champion's requests in all steps."""
        return _joined([s.champion for s in self.steps])


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a rollout, and why.

    Attributes:
        action: What to do.
        code: The kind of reason, for programs.
        reason: One sentence for people.
        findings: What the tests have shown so far, in sentences.
        numbers: The figures that it rests on.
    """

    action: Action
    code: Code = "by-hand"
    reason: str
    findings: tuple[str, ...] = ()
    numbers: dict[str, float] = {}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a rollout's evidence: a point of its picture.

    Attributes:
        time: When.
        percent: The candidate's share then.
        action: What the verdict was.
        code: The kind of its reason.
        numbers: The figures that it rests on.
    """

    time: datetime
    percent: float
    action: Action
    code: Code
    numbers: dict[str, float] = {}


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a shadow compares with what was answered to the same requests.

    Intervals hold at 95% at every look, and are left out while too few requests were mirrored.

    Attributes:
        endpoint: Where.
        model: The shadow's model.
        version: Its version.
        since: From when on it is mirrored.
        time: When this was told.
        rows: How many rows both answered, of the newest.
        requests: In how many requests.
        failed: How many requests the shadow failed at.
        agreement: The share of rows with the same answer.
        agreement_interval: Where it lies.
        mean_difference: By how much scores or values are larger on average.
        difference_interval: Where that lies.
        largest_difference: The largest difference either way.
        labelled: For how many rows it is known what came true.
        loss_difference: By how much the shadow's loss is larger, where that is known.
        loss_interval: Where that lies.
        p99_ms: The shadow's 99th percentile of latency.
        champion_p99_ms: The champion's, on the same requests.
        examples: The rows that differ most.
    """

    endpoint: str
    model: str
    version: int
    since: datetime
    time: datetime
    rows: int
    requests: int
    failed: int
    agreement: float
    agreement_interval: tuple[float, float] | None = None
    mean_difference: float = 0.0
    difference_interval: tuple[float, float] | None = None
    largest_difference: float = 0.0
    labelled: int = 0
    loss_difference: float | None = None
    loss_interval: tuple[float, float] | None = None
    p99_ms: float = 0.0
    champion_p99_ms: float = 0.0
    examples: tuple[ShadowExample, ...] = ()


def _joined(counts: list[Counts]) -> Counts:
    found = Counts()
    for each in counts:
        found = found.joined(each)
    return found
