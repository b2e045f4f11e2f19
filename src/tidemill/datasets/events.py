"""The facts that datasets write."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event
from tidemill.datasets.records import ValidationReport


class DataAppended(Event, frozen=True, kw_only=True):
    """A dataset has a new version.

    Attributes:
        dataset: Its name.
        version: The new version's digest.
        number: The new version's number.
        files: How many files came.
        rows: How many rows came.
        total_rows: How many rows it has now.
    """

    type: ClassVar[str] = "data.appended"
    dataset: str
    version: str
    number: int
    files: int
    rows: int
    total_rows: int


class DataRefused(Event, frozen=True, kw_only=True):
    """A batch was refused as a whole; the dataset is as it was.

    Attributes:
        dataset: Its name.
        source: The file or batch.
        reason: Why, in one sentence.
        report: What validation found, where it came so far.
    """

    type: ClassVar[str] = "data.refused"
    dataset: str
    source: str
    reason: str
    report: ValidationReport | None
