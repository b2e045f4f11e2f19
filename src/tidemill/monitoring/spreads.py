"""How each column's values are spread, in the reference and in a stretch, from the kept sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidemill.core.clock import from_micros
from tidemill.monitoring.blocks import Counts, Floats, Scale
from tidemill.monitoring.endpoint_report import ColumnSpread, SpreadAt
from tidemill.monitoring.live import Live
from tidemill.monitoring.state import BlockState

QUARTILES = (0.25, 0.5, 0.75)
MOST_MOMENTS = 60
"""Of how many stretches of time, at the most, a column's quartiles are told."""


def spreads_of(states: Sequence[BlockState], live: Live) -> tuple[ColumnSpread, ...]:
    """Return the spread of every column that can be counted.

    Args:
        states: The sums of a version's blocks, oldest first.
        live: The version.
    """
    step = max(-(-len(states) // MOST_MOMENTS), 1)
    groups = [states[i : i + step] for i in range(0, len(states), step)]
    return tuple(
        _spread(name, scale, live.drift.usual[name], groups)
        for name, scale in live.drift.scales.items()
    )


def quartiles(edges: Sequence[float], shares: Floats) -> tuple[float, ...]:
    """Return the quartiles of values of which the share up to each edge is known.

    Between two edges the values are taken as evenly spread; beyond the outer ones nothing is known,
    so that the answer stays between them.

    Example:
        >>> quartiles((0.0, 10.0, 20.0), np.array([0.0, 0.5, 1.0]))
        (5.0, 10.0, 15.0)
        >>> quartiles((0.0, 10.0), np.array([0.9, 1.0]))
        (0.0, 0.0, 0.0)
    """
    found = np.interp(QUARTILES, shares, edges)
    return tuple(float(value) for value in found)


def _spread(
    name: str,
    scale: Scale,
    usual: Counts,
    groups: Sequence[Sequence[BlockState]],
) -> ColumnSpread:
    moments = []
    now = np.zeros(scale.cells, dtype=np.int64)
    for group in groups:
        known = [s.columns[name] for s in group if name in s.columns]
        counts = np.asarray(np.sum(known, axis=0), dtype=np.int64)
        if not counts.sum():
            continue
        now += counts
        shares, missing = _shares(scale, counts)
        ordered = scale.numeric and scale.marks and missing < 1
        moments.append(
            SpreadAt(
                since=from_micros(group[0].since),
                quartiles=quartiles(scale.marks, shares) if ordered else (),
                shares=() if scale.numeric else tuple(shares.tolist()),
                missing=missing,
            )
        )
    before, missing_before = _shares(scale, usual)
    current, missing = _shares(scale, now)
    return ColumnSpread(
        column=name,
        numeric=scale.numeric,
        marks=scale.marks if scale.numeric else (*map(str, scale.marks), "other"),
        reference=tuple(before.tolist()),
        current=tuple(current.tolist()),
        missing_reference=missing_before,
        missing=missing,
        moments=tuple(moments),
    )


def _shares(scale: Scale, counts: Counts) -> tuple[Floats, float]:
    """Return the shares at the marks, of the values that there are, and the share of missing."""
    every = int(counts.sum())
    present = every - int(counts[-1])
    missing = 1 - present / every if every else 0.0
    if scale.numeric:
        # Even cells lie between edges, odd ones are exactly an edge.
        reached = np.cumsum(counts[:-1])[1::2]
    else:
        reached = counts[:-1]
    return np.asarray(reached, dtype=np.float64) / max(present, 1), missing
