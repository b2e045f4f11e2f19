"""Classical distances between two columns, for comparing with other tools and for reports.

They describe; the monitor's alarms are those of `drift`, whose rate of false alarms is stated.
"""

from __future__ import annotations

import threading
import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST = 1e-4
_MANY_ROWS = 10_000
_FILTERS = threading.Lock()


def kolmogorov_smirnov(reference: Floats, current: Floats) -> tuple[float, float]:
    """Return the largest difference of the distribution functions, and its p-value.

    Reference: Smirnov, Table for estimating the goodness of fit of empirical distributions, Annals
    of Mathematical Statistics 19, 1948.

    Example:
        >>> kolmogorov_smirnov(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 9.0]))[0].__round__(3)
        0.333
    """
    from scipy.stats import ks_2samp

    method = "exact" if max(len(reference), len(current)) <= 1000 else "asymp"
    # Rounding can keep SciPy from the exact chance; it warns and falls back to the approximation.
    # Filters of warnings belong to the whole process, so that one thread at a time may set them.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ks_2samp(reference, current, method=method)
    return float(found.statistic), float(found.pvalue)


def chance_of_gap(gap: float, many: int, others: int) -> float:
    """Return the p-value of a Kolmogorov-Smirnov distance of two large samples.

    Reference: Simard and L'Ecuyer, Computing the two-sided Kolmogorov-Smirnov distribution, Journal
    of Statistical Software 39, 2011; at the effective number of rows.

    Args:
        gap: The distance.
        many: The rows of one sample.
        others: The rows of the other.

    Example:
        >>> round(chance_of_gap(0.02, 10_000, 10_000), 4)
        0.0361
    """
    from scipy.stats import kstwo

    larger, smaller = sorted((float(many), float(others)), reverse=True)
    rows = np.round(larger * smaller / (larger + smaller))
    # SciPy sums as many terms as there are rows here, which takes a second for a million.
    if rows >= _MANY_ROWS and 2.2 <= rows * gap**2 < 18:
        return _chance_in_tail(gap, float(rows))
    return float(np.clip(kstwo.sf(gap, rows), 0.0, 1.0))


def _chance_in_tail(gap: float, rows: float) -> float:
    """Return twice the chance of a one-sided distance, which is the two-sided one in the tail.

    Reference: Lauwerier, The asymptotic expansion of the statistical distribution of N. V. Smirnov,
    Zeitschrift für Wahrscheinlichkeitstheorie 2, 1963; to the power -3/2 of the rows.
    """
    root = np.sqrt(rows)
    z = root * gap
    terms = 1 - 2 * z / (3 * root) + 2 * z**2 / (3 * rows) * (1 - 2 * z**2 / 3)
    terms += 4 * z / (9 * root * rows) * (1 / 5 - 19 * z**2 / 15 + 2 * z**4 / 3)
    return float(2 * np.exp(-2 * z**2) * terms)


def chi_square(reference: Floats, current: Floats) -> tuple[float, float]:
    """Return the two-sample chi-square statistic of counts, and its p-value.

    Reference: Pearson, On the criterion that a given system of deviations from the probable can be
    reasonably supposed to have arisen from random sampling, Philosophical Magazine 50, 1900; both
    samples are uncertain, so that it is the test of a two-row table.

    Args:
        reference: How often each category came, shape (k,).
        current: The same, in the same order.

    Example:
        >>> statistic, p_value = chi_square(np.array([90, 10]), np.array([60, 40]))
        >>> round(statistic, 2), p_value < 0.001
        (24.0, True)
    """
    from scipy.special import chdtrc

    table = np.vstack([reference, current]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 0.0, 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, float(chdtrc(table.shape[1] - 1, statistic))


def jensen_shannon(reference: Floats, current: Floats) -> float:
    """Return the Jensen-Shannon distance of shares: 0 where equal, 1 where nothing is shared.

    Reference: Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on
    Information Theory 37, 1991; the square root, with logarithms to base 2.

    Example:
        >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
        1.0
    """
    middle = (reference + current) / 2
    divergence = (_entropy_to(reference, middle) + _entropy_to(current, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def hellinger(reference: Floats, current: Floats) -> float:
    """Return the Hellinger distance of shares, 0 to 1.

    Reference: Hellinger, Neue Begründung der Theorie quadratischer Formen von unendlichvielen
    Veränderlichen, Journal für die reine und angewandte Mathematik 136, 1909.

    Example:
        >>> hellinger(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
        0.0
    """
    return float(np.sqrt(np.sum((np.sqrt(reference) - np.sqrt(current)) ** 2) / 2))


def l_infinity(reference: Floats, current: Floats) -> float:
    """Return the largest difference of two shares.

    Example:
        >>> l_infinity(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
        0.25
    """
    return float(np.abs(reference - current).max(initial=0.0))


def population_stability(reference: Floats, current: Floats) -> float:
    """Return the population stability index of shares; a share is at least one in ten thousand.

    Reference: Siddiqi, Credit risk scorecards, Wiley 2006.

    Example:
        >>> round(population_stability(np.array([0.5, 0.5]), np.array([0.4, 0.6])), 4)
        0.0405
    """
    usual, now = np.maximum(reference, _LEAST), np.maximum(current, _LEAST)
    return float(((now - usual) * np.log(now / usual)).sum())


def _entropy_to(shares: Floats, middle: Floats) -> float:
    seen = shares > 0
    return float((shares[seen] * np.log2(shares[seen] / middle[seen])).sum())
