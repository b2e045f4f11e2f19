"""When something usually comes, hour by hour, and whether it has stopped coming.

An endpoint has a rhythm of its own: nights and weekends may always be quiet. From the counts of
past hours follows how many are to be expected in a gap; how much days differ follows from them too.
A gap is a silence where so little would almost never come by chance.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HOUR = 3600
WEEK = 168
DAY = 24
KEPT = 8 * WEEK
"""How many hours of the past the rhythm is learned from."""
HOURS_A_MONTH = 720
_LEAST_WEEKS = 2
_LEAST_DAYS = 3
_CALM = 1e6
_LEAST_SHAPE = 0.25


class Rhythm(msgspec.Struct, frozen=True):
    """How many come in each hour.

    Attributes:
        period: After how many hours it begins anew: 168 where weeks are known, else 24.
        rates: The mean count of each hour of the period, from midnight UTC on a Thursday, as time
            is counted from 1970 on.
        shape: How alike days are: the shape of the gamma distribution of a day's factor; large
            where days differ no more than chance makes them.
    """

    period: int
    rates: Floats
    shape: float

    def expected(self, since: float, until: float) -> float:
        """Return how many usually come in a stretch.

        Args:
            since: Where it begins, in seconds since 1970.
            until: Where it ends.
        """
        if until <= since:
            return 0.0
        first, last = int(since // HOUR), int(until // HOUR)
        hours = np.arange(first, last + 1)
        parts = np.minimum((hours + 1) * HOUR, until) - np.maximum(hours * HOUR, since)
        return float((self.rates[hours % self.period] * parts / HOUR).sum())

    def chance(self, since: float, until: float) -> float:
        """Return the chance that nothing at all comes in a stretch, where all is as usual."""
        expected = self.expected(since, until)
        return float((1 + expected / self.shape) ** -self.shape)


def learn(first: int, counts: Floats) -> Rhythm | None:
    """Learn a rhythm, or return nothing where too little is known.

    Args:
        first: The number of the first hour since 1970.
        counts: What came in each hour from there on, gaps included.

    Reference: counts as a Poisson process whose rate differs by hour of the week and, by a gamma
    factor, from day to day: Greenwood and Yule, An inquiry into the nature of frequency
    distributions, Journal of the Royal Statistical Society 83, 1920; its shape by moments.

    Example:
        Forty an hour from eight to six on weekdays; nothing at night and at weekends.

        >>> hours = np.arange(4 * 168)
        >>> busy = (hours % 24 >= 8) & (hours % 24 < 18) & (hours // 24 % 7 < 5)
        >>> learned = learn(0, np.where(busy, 40.0, 0.0))
        >>> learned.chance(27 * 24 * 3600.0, 27 * 24 * 3600.0 + 12 * 3600.0)
        1.0
        >>> learned.chance(10 * 3600.0, 12 * 3600.0) < 1e-20
        True
    """
    many = len(counts)
    if many >= _LEAST_WEEKS * WEEK:
        period = WEEK
    elif many >= _LEAST_DAYS * DAY:
        period = DAY
    else:
        return None
    places = (first + np.arange(many)) % period
    seen = np.bincount(places, minlength=period)
    rates = np.bincount(places, weights=counts, minlength=period) / np.maximum(seen, 1)
    return Rhythm(period, rates, _shape(first, counts, rates[places], many / period))


def _shape(first: int, counts: Floats, expected: Floats, periods: float) -> float:
    """Return how alike days are, by the spread of their totals beyond that of chance."""
    days = (first + np.arange(len(counts))) // DAY
    days = days - days[0]
    came, usual = np.bincount(days, weights=counts), np.bincount(days, weights=expected)
    # The rates were learned from the same days, so that these lie nearer to them than others will.
    gaps = (came - usual) ** 2 * periods / max(periods - 1, 0.5)
    beyond = float((gaps - usual).sum())
    squares = float((usual**2).sum())
    if beyond <= 0 or squares <= 0:
        return _CALM
    return float(np.clip(squares / beyond, _LEAST_SHAPE, _CALM))
