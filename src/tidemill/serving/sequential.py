"""Tests that may be looked at whenever one likes: their error rate holds at every look at once.

An ordinary confidence interval that is looked at every minute will exclude the truth sooner or
later. These do not: the chance that they *ever* err is at most what was asked for, so a rollout
can be stopped the moment the evidence suffices, and not before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


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


def difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    confidence: float = 0.95,
    scale: float | None = None,
) -> Interval:
    """Return how much larger the mean of `first` is than that of `second`, valid at every look.

    The mixture sequential probability ratio test with a normal mixture, turned around into an
    interval. With V, the variance of the estimated difference d, and a mixture of variance s², the
    likelihood ratio against a true difference t is

        sqrt(V / (V + s²)) · exp(s² (d - t)² / (2 V (V + s²)))

    and the interval holds every t for which it stays below 1 / (1 - confidence). The variances are
    estimated, so the guarantee is that of large samples: fewer than 30 values on a side give an
    interval without ends.

    Args:
        first: Values, in the order in which they came.
        second: Values of the other side.
        confidence: The chance that the interval holds the truth at all looks together.
        scale: The standard deviation of the mixture: the difference that is looked for. A tenth
            of the values' spread where it is left out.

    References:
        Johari, Koomen, Pekelis, Walsh (2022): Always Valid Inference: Continuous Monitoring of
        A/B Tests. Operations Research 70(3), section 4. https://arxiv.org/abs/1512.04922
        Robbins (1970): Statistical methods related to the law of the iterated logarithm. Annals
        of Mathematical Statistics 41(5).

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
    """
    if min(len(first), len(second)) < 30:
        return Interval(_mean(first) - _mean(second), -math.inf, math.inf)
    estimate = _mean(first) - _mean(second)
    spread_first, spread_second = _variance(first), _variance(second)
    variance = spread_first / len(first) + spread_second / len(second)
    if variance == 0.0:
        return Interval(estimate, estimate, estimate)
    mixture = scale**2 if scale else 0.01 * (spread_first + spread_second) / 2
    ratio = variance / (variance + mixture)
    width = math.sqrt(
        2 * variance / (1 - ratio) * (-math.log(1 - confidence) - 0.5 * math.log(ratio))
    )
    return Interval(estimate, estimate - width, estimate + width)


def exceeds(failures: int, trials: int, rate: float) -> float:
    """Return the evidence that failures are more frequent than a rate, valid at every look.

    An e-value: the likelihood of what was seen, averaged over all rates above `rate`, divided by
    its likelihood at `rate`. If the true rate is `rate` or less, the chance that it ever reaches
    1 / a is at most a (Ville's inequality).

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
    return math.exp(min(logarithm, 700.0))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
