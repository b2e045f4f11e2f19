"""Tests that may be looked at whenever one likes: their error rate holds at every look at once.

An ordinary confidence interval that is looked at every minute will exclude the truth sooner or
later. These do not: the chance that they *ever* err is at most what was asked for, so a rollout
can be stopped the moment the evidence suffices, and not before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.core.moments import Moments
from tidemill.serving.evidence import Units

LEAST_UNITS = 30
"""With fewer units on a side nothing is claimed."""
_LARGEST = 700.0


class Interval(msgspec.Struct, frozen=True):
    """An estimate with an interval that holds the truth at every look.

    Attributes:
        estimate: The estimated value.
        low: The interval's lower end.
        high: The interval's upper end.
    """

    estimate: float
    low: float
    high: float

    @property
    def unbounded(self) -> bool:
        """Whether nothing is claimed yet."""
        return math.isinf(self.high)


def difference(
    first: Units | Moments | Sequence[float],
    second: Units | Moments | Sequence[float],
    *,
    confidence: float = 0.95,
    scale: float | None = None,
) -> Interval:
    """Return how much larger the mean of `first` is than that of `second`, valid at every look.

    The mixture sequential probability ratio test with a normal mixture, turned around into an
    interval. With V, the variance of the estimated difference d, and a mixture of variance s², the
    likelihood ratio against a true difference t is

        sqrt(V / (V + s²)) · exp(s² (d - t)² / (2 V (V + s²)))

    and the interval holds every t for which it stays below 1 / (1 - confidence). The variance is
    estimated from whole units (Taylor's linearisation of a ratio of sums), since the rows of one
    request are not independent: a caller who sends one batch an hour has sent 24 units a day,
    whatever the batches hold. The guarantee is that of many units, so fewer than 30 on a side,
    counted as if all were of one size, give an interval without ends.

    Args:
        first: Sums by unit, or what `Moments` keeps of them; or values, each a unit of its own.
        second: The other side.
        confidence: The chance that the interval holds the truth at all looks together.
        scale: The standard deviation of the mixture: the difference that is looked for. A tenth
            of the units' spread where it is left out.

    References:
        Johari, Koomen, Pekelis, Walsh (2022): Always Valid Inference: Continuous Monitoring of
        A/B Tests. Operations Research 70(3), section 4. https://arxiv.org/abs/1512.04922
        Robbins (1970): Statistical methods related to the law of the iterated logarithm. Annals
        of Mathematical Statistics 41(5).
        Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024): Time-uniform central limit theory and
        asymptotic confidence sequences. Annals of Statistics 52(6), for the estimated variance.
        Cochran (1977): Sampling Techniques, chapter 9A, for the ratio of unequal units.

    Example:
        >>> import random
        >>> rng = random.Random(0)
        >>> old = [rng.gauss(0.50, 0.2) for _ in range(4000)]
        >>> new = [rng.gauss(0.55, 0.2) for _ in range(400)]
        >>> for looked in (100, 400):
        ...     found = difference(new[:looked], old)
        ...     print(f"{looked}: {found.low:+.3f} to {found.high:+.3f}")
        100: -0.019 to +0.130
        400: +0.010 to +0.075

        The same 400 rows in 20 requests are 20 units, and prove nothing yet:

        >>> batches = Units(np.array(new).reshape(20, 20).sum(axis=1), np.full(20, 20.0))
        >>> difference(batches, old).unbounded
        True
    """
    one, two = _side(first), _side(second)
    estimate = one.mean - two.mean
    if min(one.effective, two.effective) < LEAST_UNITS:
        return Interval(estimate, -math.inf, math.inf)
    variance = one.variance + two.variance
    if variance == 0.0:
        return Interval(estimate, estimate, estimate)
    spread = (one.variance * one.effective + two.variance * two.effective) / 2
    mixture = scale**2 if scale else 0.01 * spread
    ratio = variance / (variance + mixture)
    width = math.sqrt(
        2 * variance / (1 - ratio) * (-math.log(1 - confidence) - 0.5 * math.log(ratio))
    )
    return Interval(estimate, estimate - width, estimate + width)


def exceeds(failures: int, trials: int, rate: float) -> float:
    """Return the evidence that failures are more frequent than a rate, valid at every look.

    An e-value: the likelihood of what was seen, averaged over all rates above `rate`, divided by
    its likelihood at `rate`. If the true rate is `rate` or less, the chance that it ever reaches
    1 / a is at most a (Ville's inequality). Nothing is assumed of the number of trials.

    Args:
        failures: How many failed.
        trials: Of how many.
        rate: The rate that is still allowed, above 0 and below 1.

    References:
        Robbins (1970), as in `difference`. Ramdas, Grünwald, Vovk, Shafer (2023): Game-theoretic
        statistics and safe anytime-valid inference. Statistical Science 38(4).
        https://arxiv.org/abs/2210.01948

    Example:
        Three failures at the very start are enough at 95% (an e-value of 20), one in fifty is not:

        >>> round(exceeds(3, 3, 0.02)), round(exceeds(1, 50, 0.02), 2)
        (31888, 0.04)
    """
    from scipy.special import betaincc, betaln

    if trials == 0:
        return 1.0
    rate = min(max(rate, 1e-9), 1 - 1e-9)
    a, b = failures + 1, trials - failures + 1
    above = betaincc(a, b, rate)
    if above <= 0.0:
        return 0.0
    logarithm = (
        betaln(a, b)
        + math.log(above)
        - failures * math.log(rate)
        - (trials - failures) * math.log1p(-rate)
        - math.log1p(-rate)
    )
    return math.exp(min(logarithm, _LARGEST))


def oftener(first: int, second: int, share: float) -> float:
    """Return the evidence that something befalls one side oftener than its share of the traffic.

    Every request was given to a side by chance, so under equal rates each of the events falls to
    the first side with the chance `share`, however they gather in time: a machine that is slow for
    a minute is slow for both. E-values of steps with different shares are multiplied.

    Args:
        first: How many events befell the first side.
        second: How many befell the other.
        share: The first side's share of the traffic, above 0 and below 1.

    References:
        As in `exceeds`; a test of randomisation, conditional on the number of events, after
        Fisher (1935): The Design of Experiments, chapter 2.

    Example:
        Five slow requests of a candidate with a twentieth of the traffic, none of the champion's:

        >>> int(oftener(5, 0, 0.05)), round(oftener(5, 95, 0.05), 2)
        (561403, 0.04)
    """
    return exceeds(first, first + second, share)


class _Side(msgspec.Struct, frozen=True):
    """One side's mean, its variance, and how many units of one size it is worth."""

    mean: float
    variance: float
    effective: float


def _side(values: Units | Moments | Sequence[float]) -> _Side:
    if isinstance(values, Moments):
        return _kept(values)
    if isinstance(values, Units):
        totals, sizes = values.totals, values.sizes
    else:
        totals = np.asarray(values, dtype=np.float64)
        sizes = np.ones(len(totals))
    rows = float(sizes.sum())
    if rows == 0:
        return _Side(0.0, 0.0, 0.0)
    mean = float(totals.sum()) / rows
    count = len(totals)
    if count < 2:
        return _Side(mean, 0.0, 1.0)
    left: NDArray[Any] = totals - mean * sizes
    variance = count / (count - 1) * float(left @ left) / rows**2
    return _Side(mean, variance, rows**2 / float(sizes @ sizes))


def _kept(sums: Moments) -> _Side:
    if sums.rows == 0:
        return _Side(0.0, 0.0, 0.0)
    if sums.count < 2:
        return _Side(sums.mean, 0.0, 1.0)
    return _Side(sums.mean, sums.variance, sums.rows**2 / sums.squares)
