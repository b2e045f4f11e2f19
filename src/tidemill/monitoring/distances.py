"""Classical distances between two columns, for comparing with other tools and for reports.

They describe; the monitor's alarms are those of `drift`, whose rate of false alarms is stated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST = 1e-4


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
    found = ks_2samp(reference, current, method=method)
    return float(found.statistic), float(found.pvalue)


def wasserstein(reference: Floats, current: Floats) -> float:
    """Return by how much values must move on average to turn one sample into the other.

    Reference: Vallender, Calculation of the Wasserstein distance between probability distributions
    on the line, Theory of Probability and its Applications 18, 1974.

    Example:
        >>> wasserstein(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
        2.0
    """
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(reference, current))


def normalised_wasserstein(reference: Floats, current: Floats) -> float:
    """Return the Wasserstein distance in standard deviations of the reference (at least 0.001)."""
    return wasserstein(reference, current) / max(float(reference.std()), 1e-3)


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
    from scipy.stats import chi2_contingency

    table = np.vstack([reference, current])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0
    found = chi2_contingency(table, correction=False)
    return float(found.statistic), float(found.pvalue)


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


def shares_in_bins(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """Return the shares of both samples in bins of equal width over the reference.

    Reference: the number of bins is Doane's; Aesthetic frequency classifications, The American
    Statistician 30, 1976. What lies outside of the reference has a last bin of its own.
    """
    edges = np.histogram_bin_edges(reference, "doane")
    usual, now = np.histogram(reference, edges)[0], np.histogram(current, edges)[0]
    outside = len(current) - int(now.sum())
    return np.append(usual, 0) / len(reference), np.append(now, outside) / len(current)


def shares_by_tenths(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """Return the shares of both samples between the deciles of the reference."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, 11)))
    inner = edges[1:-1]
    found = [
        np.bincount(np.searchsorted(inner, v, side="right"), minlength=len(inner) + 1) / len(v)
        for v in (reference, current)
    ]
    return found[0], found[1]


def _entropy_to(shares: Floats, middle: Floats) -> float:
    seen = shares > 0
    return float((shares[seen] * np.log2(shares[seen] / middle[seen])).sum())
