"""What a window is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tidemill.core.policy import MonitorPolicy
from tidemill.core.tasks import metrics_of
from tidemill.monitoring.blocks import BlockCounts
from tidemill.monitoring.live import Live
from tidemill.monitoring.records import EstimateCheck
from tidemill.monitoring.state import BlockState


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What a window is judged by.

    Attributes:
        endpoint: Which endpoint.
        model: The model that it serves.
        version: The live version.
        policy: How to judge.
        metrics: Which metrics; the first is the one that is watched.
        lives: Gives what a version is compared with, where it has a reference.
        since: Where the window begins.
        until: Where it ends, exclusive.
        earlier: Counts of the stretches just before it, as `DriftReference.compare` takes them.
        recent: The version's blocks just before it.
        checks: Estimates and what came true in the windows before, newest first.
        newborn: Whether the version has answered nothing before the window, or was found skewed in
            all that it has answered.
        rhythmic: Of what the rhythm is known, `predictions` or `labels`: their silence is told by
            the hour, not by the window.
    """

    endpoint: str
    model: str
    version: int
    policy: MonitorPolicy
    metrics: tuple[str, ...]
    lives: Callable[[int], Any]
    since: datetime
    until: datetime
    earlier: Sequence[dict[str, BlockCounts]] = ()
    recent: Sequence[BlockState] = ()
    checks: Sequence[EstimateCheck] = ()
    newborn: bool = False
    rhythmic: frozenset[str] = frozenset()

    @property
    def live(self) -> Live | None:
        """What the live version is compared with."""
        found: Live | None = self.lives(self.version)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Which metrics are told, the watched one first."""
        known = metrics_of(self.live.signature.task) if self.live else ()
        wanted = tuple(m for m in self.metrics if m in known)
        return wanted or known
