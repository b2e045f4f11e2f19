"""What the year would have been without the loop: the first model for ever, and a monthly habit.

Both use the project's own training function and all flights known at the time, so that the only
thing compared is when a model was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.demo.flights import FEATURES, Year

Fit = Callable[..., Any]


class Scored(msgspec.Struct, frozen=True):
    """The predictions of one policy over the replayed year.

    Attributes:
        name: What the policy is called in the report.
        retrains: How often it trained after the first model.
        scores: P(late) for each flight of `Year.flights` from the start of the replay, in order.
    """

    name: str
    retrains: int
    scores: np.ndarray[Any, np.dtype[np.float64]]


def by_calendar(
    name: str, year: Year, fit: Fit, trainings: Sequence[datetime], *, seed: int
) -> Scored:
    """Train at fixed moments on all that is known then, and score what departs until the next.

    Args:
        name: What to call it.
        year: The flights.
        fit: The project's training function.
        trainings: When to train, ascending; the first is where the replay starts.
        seed: Handed to `fit`.
    """
    replayed = year.flights.filter(pl.col("scheduled_departure") >= trainings[0])
    departures = replayed["scheduled_departure"]
    scores = np.empty(len(replayed))
    for moment, until in zip(trainings, [*trainings[1:], None], strict=True):
        known = year.flights.filter(pl.col("known_at") < moment)
        model = fit(known.select(*FEATURES, "late"), seed=seed)
        chosen = departures >= moment
        if until is not None:
            chosen &= departures < until
        rows = chosen.to_numpy()
        scores[rows] = model.predict_proba(replayed.filter(chosen).select(FEATURES))[:, 1]
    return Scored(name, len(trainings) - 1, scores)
