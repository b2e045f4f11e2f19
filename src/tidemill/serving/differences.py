"""How a candidate differs from what was answered: records only, which commands read at once."""

from __future__ import annotations

from datetime import datetime

import msgspec


class SegmentDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate differs for the rows with one value of a column.

    Attributes:
        column: The column.
        value: Its value, as text.
        rows: How many rows have it.
        changed: The share of them whose answer changes.
        mean_difference: By how much scores or values are larger on average.
        labelled: For how many it is known what came true.
        loss: The candidate's mean loss on those.
        answered_loss: The mean loss of what was answered.
    """

    column: str
    value: str
    rows: int
    changed: float
    mean_difference: float
    labelled: int = 0
    loss: float | None = None
    answered_loss: float | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One row that a candidate answers otherwise.

    Attributes:
        prediction: The id of the answer that was given.
        said: What was answered.
        says: What the candidate says.
        difference: By how much its score or value is larger.
        label: What came true, where it is known.
    """

    prediction: str
    said: str
    says: str
    difference: float
    label: str | None = None


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate differs from what was answered.

    Intervals hold at 95%, with requests as observations; they are left out where those are too few.

    Attributes:
        endpoint: Whose requests were replayed.
        candidate: The candidate, as a reference.
        since: When the first of them was answered.
        until: When the last was.
        rows: How many rows were replayed.
        requests: In how many requests.
        refused: How many rows the candidate would have refused.
        refusal: Why, of the first.
        changed: The share whose answer changes.
        changed_interval: Where that lies.
        mean_difference: By how much scores or values are larger on average.
        largest_difference: The largest difference either way.
        labelled: For how many rows it is known what came true.
        loss: The candidate's mean loss on those: log loss, or the squared error.
        answered_loss: The mean loss of what was answered.
        loss_interval: Where the difference of the two lies.
        segments: Where it differs most, first.
        examples: The rows that differ most.
        breaches: What is over the limits, in sentences.
    """

    endpoint: str
    candidate: str
    since: datetime | None
    until: datetime | None
    rows: int
    requests: int
    refused: int
    refusal: str
    changed: float
    changed_interval: tuple[float, float] | None
    mean_difference: float
    largest_difference: float
    labelled: int
    loss: float | None
    answered_loss: float | None
    loss_interval: tuple[float, float] | None
    segments: tuple[SegmentDifference, ...]
    examples: tuple[Changed, ...]
    breaches: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything is within its limits."""
        return not self.breaches
