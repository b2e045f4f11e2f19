"""What verdicts on a window rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from tidemill.core.findings import FindingKind, Severity
from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring.basis import Basis
from tidemill.monitoring.live import Live
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.monitoring.serving_values import Breach
from tidemill.monitoring.wording import stretch


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A measured window.

    Attributes:
        judge: What it is judged by.
        report: What was measured.
        answered: Its answers, of all versions that callers saw.
        mine: The live version's.
        labelled: Those of them that are labelled.
        broken: What of the contract their values break.
    """

    judge: Basis
    report: WindowReport
    answered: pl.DataFrame
    mine: pl.DataFrame
    labelled: pl.DataFrame
    broken: Sequence[Breach]

    @property
    def policy(self) -> MonitorPolicy:
        """How to judge."""
        return self.judge.policy

    @property
    def live(self) -> Live:
        """What the version is compared with; whoever asks knows that it has a reference."""
        live = self.judge.live
        assert live is not None
        return live

    @property
    def watched(self) -> str:
        """The metric that alarms are about; empty where there is none."""
        return self.judge.names[0] if self.judge.names else ""

    @property
    def stretch(self) -> str:
        """When it was, in words."""
        return stretch(self.judge.since, self.judge.until)

    def finding(
        self, kind: FindingKind, severity: Severity, message: str, **details: Any
    ) -> Finding:
        """Return what was found in it."""
        judge = self.judge
        return Finding(
            kind=kind,
            severity=severity,
            endpoint=judge.endpoint,
            model=judge.model,
            version=judge.version,
            since=judge.since,
            until=judge.until,
            message=message,
            **details,
        )
