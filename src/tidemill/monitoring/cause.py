"""Why quality changed: what the shift of each column explains, and what no shift explains.

The held-out rows are weighted so that chosen columns are distributed as in the window and the
others as before, while the relation of features and label stays what it was. A metric over the
weighted rows is what quality would be if only those columns had moved; a column that merely goes
along with one that matters moves by itself there, and gets no credit. How the step from the usual
quality to that of all columns moved is shared among the columns is Shapley's question; what is left
to the quality that came true is a change of the relation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import factorial
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.monitoring.records import Cause, Explanation

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
BINS = 10
MOST_COLUMNS = 6
"""How many columns are told apart; quality is asked for every subset of them."""
LEAST_EFFECTIVE = 30.0
_ROUNDS = 40
_HEAVIEST = 50.0
_CLOSE = 1e-3
Measure = Callable[[Floats | None], float]


class Margins(msgspec.Struct, frozen=True):
    """One column of the held-out rows, and how the window distributes it.

    Attributes:
        column: Its name.
        codes: The group of each held-out row.
        usual: The held-out rows' share of each group.
        target: The window's share of each group, of those that the held-out rows have.
        unseen: The share of the window's rows in groups that the held-out rows do not have.
    """

    column: str
    codes: Codes
    usual: Floats
    target: Floats
    unseen: float


def explain(
    reference: pl.DataFrame,
    window: pl.DataFrame,
    columns: Sequence[str],
    *,
    metric: str,
    measure: Measure,
    realised: float,
) -> Explanation:
    """Share the change of a metric among the columns that moved and the relation to the label.

    Args:
        reference: Held-out rows.
        window: Labelled rows of the window.
        columns: Which columns to consider, those that moved most first.
        metric: What is measured.
        measure: Returns the metric over the held-out rows, each as often as its weight says.
        realised: The metric over the window's rows.

    Reference: shares after Zhang, Singh, Ghassemi and Joshi, "Why did the model fail?": attributing
    model performance changes to distribution shifts, ICML 2023, with Shapley, A value for n-person
    games, 1953; inputs against relation after Cai, Namkoong and Yadlowsky, Diagnosing model
    performance under distribution shift, 2023; weights by raking, Deming and Stephan, On a least
    squares adjustment of a sampled frequency table, Annals of Mathematical Statistics 11, 1940.

    Example:
        A model errs on wet days only. It rains six times as often as before: that explains all.

        >>> calm = pl.DataFrame({"rain": [0.0] * 900 + [1.0] * 100, "odd": [0, 1] * 500})
        >>> loss = calm["rain"].to_numpy() * 2.0
        >>> wet = pl.DataFrame({"rain": [0.0] * 400 + [1.0] * 600, "odd": [0, 1] * 500})
        >>> told = explain(
        ...     calm, wet, ["rain", "odd"], metric="loss", realised=1.2,
        ...     measure=lambda weights: float(np.average(loss, weights=weights)),
        ... )
        >>> [(c.column, round(c.shift, 3), round(c.share, 3)) for c in told.causes]
        [('rain', 1.0, 1.0), ('odd', 0.0, 0.0)]
        >>> abs(told.relation) < 0.001
        True

        Had the loss become 2.2 instead, half of the change would be explained by no shift.

        >>> told = explain(
        ...     calm, wet, ["rain"], metric="loss", realised=2.2,
        ...     measure=lambda weights: float(np.average(loss, weights=weights)),
        ... )
        >>> round(told.inputs, 3), round(told.relation, 3)
        (0.5, 0.5)
    """
    usual = measure(None)
    margins = [m for c in columns if (m := _margins(reference, window, c)) is not None]
    margins = margins[:MOST_COLUMNS]
    values: dict[tuple[int, ...], float] = {(): usual}
    weights: Floats | None = None
    for size in range(1, len(margins) + 1):
        for chosen in combinations(range(len(margins)), size):
            wanted = [m.target if i in chosen else m.usual for i, m in enumerate(margins)]
            weights = rake([m.codes for m in margins], wanted)
            values[chosen] = measure(weights)
    change = realised - usual
    whole = tuple(range(len(margins)))
    effective = float(reference.height) if weights is None else _effective(weights)
    parts = _shapley(values, len(margins))
    believed = effective >= LEAST_EFFECTIVE and bool(np.isfinite(parts).all())
    moved = values[whole] - usual if believed else 0.0
    return Explanation(
        metric=metric,
        usual=usual,
        realised=realised,
        causes=_ranked(margins, parts, change) if believed else (),
        inputs=_share(moved, change) if believed else 0.0,
        relation=_share(change - moved, change) if believed else 0.0,
        effective=effective,
        unseen={m.column: m.unseen for m in margins if m.unseen > 0},
        note="" if believed else _too_far(margins, effective),
    )


def rake(codes: Sequence[Codes], wanted: Sequence[Floats]) -> Floats:
    """Return weights of rows, of mean 1, by which every column is distributed as wanted.

    Each column in turn is put right, which puts the others a little wrong, until none is.

    Args:
        codes: For each column the group of each row.
        wanted: For each column the share of each group.

    Example:
        >>> rake([np.array([0, 0, 0, 1])], [np.array([0.5, 0.5])]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """
    weights = np.ones(len(codes[0]))
    for _ in range(_ROUNDS):
        worst = 0.0
        for groups, share in zip(codes, wanted, strict=True):
            mass = np.bincount(groups, weights=weights, minlength=len(share))
            here = mass / mass.sum()
            worst = max(worst, float(np.abs(here - share).max()))
            factor = np.where(here > 0, share / np.where(here > 0, here, 1.0), 1.0)
            weights *= factor[groups]
        weights = np.minimum(weights / weights.mean(), _HEAVIEST)
        if worst < _CLOSE:
            break
    return np.asarray(weights / weights.mean())


def _shapley(values: dict[tuple[int, ...], float], many: int) -> Floats:
    """Return each player's mean contribution over all orders in which they may come."""
    found = np.zeros(many)
    for i in range(many):
        others = [j for j in range(many) if j != i]
        for size in range(many):
            weight = factorial(size) * factorial(many - size - 1) / factorial(many)
            for chosen in combinations(others, size):
                joined = tuple(sorted((*chosen, i)))
                found[i] += weight * (values[joined] - values[chosen])
    return found


def _ranked(margins: Sequence[Margins], parts: Floats, change: float) -> tuple[Cause, ...]:
    found = [
        Cause(column=m.column, shift=float(p), share=_share(float(p), change))
        for m, p in zip(margins, parts, strict=True)
    ]
    return tuple(sorted(found, key=lambda c: -c.share))


def _share(part: float, change: float) -> float:
    return part / change if abs(change) > 1e-12 else 0.0


def _effective(weights: Floats) -> float:
    """Return how many equal rows tell as much: Kish, Survey sampling, 1965."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _too_far(margins: Sequence[Margins], effective: float) -> str:
    named = ", ".join(f"`{m.column}`" for m in margins[:3])
    return (
        f"What the shift of {named} explains cannot be judged, because only {effective:.0f} of the "
        "held-out rows are like those of the window."
    )


def _margins(reference: pl.DataFrame, window: pl.DataFrame, column: str) -> Margins | None:
    if column not in reference.columns or column not in window.columns:
        return None
    if reference[column].dtype.is_nested() or window[column].dtype.is_nested():
        return None
    usual, now = _codes(reference[column], window[column])
    groups = int(max(usual.max(initial=0), now.max(initial=0))) + 1
    known = np.bincount(usual, minlength=groups) > 0
    counts = np.bincount(now, minlength=groups).astype(np.float64)
    seen = float(counts[known].sum())
    if seen == 0:
        return None
    target = np.where(known, counts, 0.0) / seen
    before = np.bincount(usual, minlength=groups) / len(usual)
    return Margins(column, usual, before, target, 1 - seen / len(now))


def _codes(reference: pl.Series, window: pl.Series) -> tuple[Codes, Codes]:
    """Number the groups of a column alike for both: deciles of the reference, or its categories."""
    if reference.dtype.is_numeric() and not _is_text(window):
        known = _numbers(reference)
        present = known[np.isfinite(known)]
        cuts = np.quantile(present, np.arange(1, BINS) / BINS) if len(present) else present
        edges = np.unique(cuts)
        return _bins(known, edges), _bins(_numbers(window), edges)
    texts = pl.concat([reference.cast(pl.String), window.cast(pl.String)]).fill_null("\0")
    codes: Any = texts.rank("dense").to_numpy().astype(np.int64) - 1
    return codes[: len(reference)], codes[len(reference) :]


def _is_text(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum)


def _numbers(values: pl.Series) -> Floats:
    numbers = values.cast(pl.Float64, strict=False).fill_null(float("nan"))
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _bins(values: Floats, edges: Floats) -> Codes:
    """Return each value's bin; missing values have one of their own."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
