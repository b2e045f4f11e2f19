"""How much a model's answers hang on each column, and whether that changed.

Asked of the ONNX twin alone, without labels: the values of one column are dealt out anew among the
rows, and the mean distance that the answers move is the column's influence. It is the model's
reliance on the column over these rows, not what is true of the world; columns that say the same
share their influence as the model happens to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.monitoring.records import Attribution

Floats = NDArray[np.float64]
ROWS = 500
"""How many rows are asked of; the influence is a mean over them."""
_DEALS = 2
Answer = Callable[[pl.DataFrame], Floats]


def influences(answer: Answer, rows: pl.DataFrame, columns: Sequence[str], seed: int) -> Floats:
    """Return each column's share of the influence of all of them.

    Args:
        answer: What the model says of rows: scores, or numbers.
        rows: Their features.
        columns: Which columns.
        seed: Of the dealing.

    Reference: model reliance after Fisher, Rudin and Dominici, All models are wrong, but many are
    useful, Journal of Machine Learning Research 20, 2019, with the distance of answers in place of
    the loss, so that no label is needed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = pl.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)})
        >>> shares = influences(lambda r: 3 * r["a"].to_numpy() + r["b"].to_numpy(), rows,
        ...                     ["a", "b"], seed=0)
        >>> bool(0.7 < shares[0] < 0.8)
        True
    """
    rng = np.random.default_rng(seed)
    if rows.height > ROWS:
        rows = rows[np.sort(rng.choice(rows.height, ROWS, replace=False)).tolist()]
    usual = answer(rows)
    found = np.zeros(len(columns))
    for at, column in enumerate(columns):
        for _ in range(_DEALS):
            dealt: Any = rows[column][rng.permutation(rows.height).tolist()]
            moved = answer(rows.with_columns(dealt.alias(column)))
            found[at] += float(np.abs(moved - usual).mean())
    total = found.sum()
    return found / total if total > 0 else found


def attributions(
    answer: Answer, held: pl.DataFrame, window: pl.DataFrame, columns: Sequence[str], seed: int = 0
) -> tuple[Attribution, ...]:
    """Return how much the answers hang on each column, the largest change first.

    Args:
        answer: What the model says of rows.
        held: Held-out rows.
        window: The window's rows.
        columns: Which columns; those that either lacks are left out.
        seed: Of the dealing.
    """
    known = [c for c in columns if c in held.columns and c in window.columns]
    if not known or held.is_empty() or window.is_empty():
        return ()
    usual = influences(answer, held, known, seed)
    now = influences(answer, window, known, seed)
    found = [
        Attribution(column=c, usual=float(u), current=float(n))
        for c, u, n in zip(known, usual, now, strict=True)
    ]
    return tuple(sorted(found, key=lambda a: -abs(a.current - a.usual)))
