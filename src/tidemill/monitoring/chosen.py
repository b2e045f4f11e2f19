"""How much of a column's most frequent categories is their luck in the reference.

Of many categories those are kept by name that were the most frequent there. Some of them were so by
chance, and are less frequent ever after: without a correction, a column of a thousand categories
would seem to move in every window.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from tidemill.monitoring.blocks import BlockIndex, Scale


def lasting_share(values: pl.Series, index: BlockIndex, scale: Scale) -> float:
    """Return which part of the named categories' share is left where they were not chosen.

    Each block is held against the categories that are the most frequent in all other blocks.

    Args:
        values: A column of the reference.
        index: The block of each row.
        scale: By which it is counted.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = rng.integers(0, 1000, 2400)
        >>> days = BlockIndex.of(pl.Series(np.arange(2400) // 300))
        >>> from tidemill.monitoring.blocks import scale_of
        >>> alike = pl.Series(rows).cast(pl.String)
        >>> few = pl.Series(rows % 7).cast(pl.String)
        >>> lasting_share(alike, days, scale_of(alike)) < 0.6
        True
        >>> lasting_share(few, days, scale_of(few))
        1.0
    """
    names = values.cast(pl.String)
    if scale.numeric or names.drop_nulls().n_unique() <= len(scale.marks):
        return 1.0
    frame = pl.DataFrame({"name": names, "block": index.rows}).drop_nulls()
    counted = frame.group_by("name", "block").len().sort("name", "block")
    levels = counted["name"].rank("dense").to_numpy().astype(np.int64) - 1
    blocks, many = counted["block"].to_numpy(), counted["len"].to_numpy().astype(np.int64)
    totals = np.bincount(levels, weights=many)
    most = len(scale.marks)
    found = 0.0
    for block in np.unique(blocks):
        here = blocks == block
        others = totals.copy()
        others[levels[here]] -= many[here]
        frequent = np.zeros(len(totals), dtype=bool)
        frequent[np.argsort(-others, kind="stable")[:most]] = True
        found += many[here][frequent[levels[here]]].sum()
    own = np.sort(totals)[-most:].sum()
    return float(min(found / own, 1.0))
