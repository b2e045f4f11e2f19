"""All that is known of an endpoint over a stretch of time: records only, which commands read."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tidemill.monitoring.records import EstimateHistory, Finding, WindowReport


class SpreadAt(msgspec.Struct, frozen=True, kw_only=True):
    """How a column's values were spread for a while.

    Attributes:
        since: Where that begins.
        quartiles: A quarter of the values is below the first, half below the second, three quarters
            below the third, as near as the reference's edges tell; numbers only.
        shares: Of the categories, in the order of the marks; categories only.
        missing: The share of missing values.
    """

    since: datetime
    quartiles: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    missing: float = 0.0


class ColumnSpread(msgspec.Struct, frozen=True, kw_only=True):
    """How a column's values are spread.

    Attributes:
        column: Its name.
        numeric: Whether its values are ordered; else they are categories.
        marks: The edges where numbers are counted, or the categories; the last of these is `other`.
        reference: Numbers: the share of values up to each mark. Categories: the share of each.
        current: The same of the stretch.
        missing_reference: The share of missing values in the reference.
        missing: The same of the stretch.
        moments: The same over time, oldest first.
    """

    column: str
    numeric: bool
    marks: tuple[float | str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    missing_reference: float
    missing: float
    moments: tuple[SpreadAt, ...] = ()


class EndpointReport(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint over a stretch of time.

    Attributes:
        whole: The stretch, told as one window.
        windows: The windows in it, oldest first.
        spreads: How the columns were spread.
        findings: What was found in it, newest first.
        estimates: The estimates of quality against what the labels told.
        watched: The metric that alarms are about, where there is one.
        performance_drop: The least fall of it that counts.
        made: When the report was made.
    """

    whole: WindowReport
    windows: tuple[WindowReport, ...]
    spreads: tuple[ColumnSpread, ...]
    findings: tuple[Finding, ...]
    estimates: EstimateHistory
    watched: str | None
    performance_drop: float
    made: datetime
