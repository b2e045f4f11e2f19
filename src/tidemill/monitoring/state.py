"""What is kept of one version's predictions in one block of time: sums, and no row.

The state of a block is a function of its rows alone, so that it is made again when labels are late
or corrected, and replaced. States of neighbouring blocks add up; old ones are joined in pairs, so
that a home keeps as many as it kept before, however long it watches.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.datasets.segments import values_of
from tidemill.monitoring.blocks import BlockCounts
from tidemill.monitoring.live import Live, answers_of, features_of
from tidemill.monitoring.performance import represented
from tidemill.monitoring.quality import Quality
from tidemill.monitoring.segments import OTHER
from tidemill.predictions.reader import FEATURE

Floats = NDArray[np.float64]
LATENCIES = np.unique(np.round(np.logspace(0, 8, 161)))
"""Edges of the bins of latency, in microseconds; each is a ninth wider than the one before."""

SHADOW = "shadow"
CHAMPION = "champion"
LONGER = (2, 4)
"""Stretches of so many windows are judged for drift beside each window alone."""


class SegmentState(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of the answers that share a segment's value.

    Attributes:
        predictions: How many answers.
        labelled: How many of them are labelled.
        realised: The quality of the labelled ones.
    """

    predictions: int
    labelled: int
    realised: Quality | None

    def __add__(self, other: SegmentState) -> SegmentState:
        """Return the sums of both together."""
        return SegmentState(
            predictions=self.predictions + other.predictions,
            labelled=self.labelled + other.labelled,
            realised=_added(self.realised, other.realised),
        )


class BlockState(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one version's predictions in one block.

    Attributes:
        version: Which version.
        since: Where the block begins, in microseconds since 1970.
        until: Where it ends, exclusive.
        predictions: How many.
        errors: How many of them failed.
        latencies: How many took how long, by bin.
        labelled: How many answers are labelled.
        newest_label: When the newest label arrived; -1 where there is none.
        columns: For each feature, the counts on the scale of the version's reference.
        answers: The same of what was said.
        realised: The quality of the labelled answers.
        expected: The quality to be expected of all answers.
        role: The part that the version played.
        represented: How many predictions the logged ones stand for.
        segments: By segment and value, the sums of the answers that share it.
    """

    version: int
    since: int
    until: int
    predictions: int
    errors: int
    latencies: Floats
    labelled: int
    newest_label: int
    columns: dict[str, Floats]
    answers: Floats | None
    realised: Quality | None
    expected: Quality | None
    role: str = CHAMPION
    represented: float = 0.0
    segments: dict[str, dict[str, SegmentState]] = {}

    @property
    def seen(self) -> bool:
        """Whether callers saw the answers; a shadow's they do not."""
        return self.role != SHADOW

    def joined(self, other: BlockState) -> BlockState:
        """Return the state of both blocks together, of the same version."""
        return BlockState(
            version=self.version,
            since=min(self.since, other.since),
            until=max(self.until, other.until),
            predictions=self.predictions + other.predictions,
            errors=self.errors + other.errors,
            latencies=self.latencies + other.latencies,
            labelled=self.labelled + other.labelled,
            newest_label=max(self.newest_label, other.newest_label),
            columns={
                name: _added(self.columns.get(name), other.columns.get(name))
                for name in self.columns | other.columns
            },
            answers=_added(self.answers, other.answers),
            realised=_added(self.realised, other.realised),
            expected=_added(self.expected, other.expected),
            role=self.role,
            represented=self.represented + other.represented,
            segments={
                name: _united(self.segments.get(name, {}), other.segments.get(name, {}))
                for name in self.segments | other.segments
            },
        )

    def encoded(self) -> bytes:
        """Return the state as bytes; what it is of stands beside it."""
        return zlib.compress(msgspec.msgpack.encode(self, enc_hook=_encoded), 6)


def decoded(content: bytes) -> BlockState:
    """Return a state from its bytes."""
    values = msgspec.msgpack.decode(zlib.decompress(content), ext_hook=_array)
    qualities = {name: _quality(values[name]) for name in ("realised", "expected")}
    segments = {
        name: {k: SegmentState(**{**v, "realised": _quality(v["realised"])}) for k, v in of.items()}
        for name, of in values.get("segments", {}).items()
    }
    return BlockState(**{**values, **qualities, "segments": segments})


def states_of(
    rows: pl.DataFrame,
    version: int,
    live: Live | None,
    length: int,
    segments: Sequence[str] = (),
) -> list[BlockState]:
    """Return the states of a version's rows, one for each block and part that it played.

    Args:
        rows: Predictions with features, answers, labels and `block`.
        version: Which version.
        live: What it is compared with, where it has a reference.
        length: Of a block, in microseconds.
        segments: By which columns, or pairs of them, quality is kept apart.
    """
    mine = rows.filter(pl.col("version") == version)
    parts = mine.partition_by("block", "role", maintain_order=True)
    return [_state(part, version, live, length, segments) for part in parts]


def joined_pairs(states: Sequence[BlockState], most: int) -> list[BlockState]:
    """Return states of which the older half is joined in pairs until there are few enough.

    Neighbours of one version are joined. The older a state is, the oftener it was: what happened
    long ago is known by coarser blocks.

    Example:
        >>> empty = {"predictions": 1, "errors": 0, "labelled": 0, "newest_label": -1}
        >>> rest = {"columns": {}, "answers": None, "realised": None, "expected": None}
        >>> states = [
        ...     BlockState(version=1, since=i, until=i + 1, latencies=np.zeros(1), **empty, **rest)
        ...     for i in range(8)
        ... ]
        >>> [(s.since, s.until) for s in joined_pairs(states, 7)]
        [(0, 2), (2, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
    """
    kept = sorted(states, key=_place)
    while len(kept) > most:
        half = len(kept) // 2
        older = [pair for group in _alike(kept[:half]) for pair in _paired(group)]
        if len(older) == half:
            return kept
        kept = sorted(older, key=_place) + kept[half:]
    return kept


def _place(state: BlockState) -> tuple[int, int, str]:
    return state.since, state.version, state.role


def _alike(states: Sequence[BlockState]) -> list[list[BlockState]]:
    """Return the states of each version in each part that it played."""
    kinds = sorted({(s.version, s.role) for s in states})
    return [[s for s in states if (s.version, s.role) == kind] for kind in kinds]


def _paired(states: Sequence[BlockState]) -> list[BlockState]:
    pairs = [states[i : i + 2] for i in range(0, len(states), 2)]
    return [reduce(BlockState.joined, pair) for pair in pairs]


def seen_blocks(states: Sequence[BlockState], version: int) -> list[BlockState]:
    """Return one state a block of what a version answered, whichever part it played in sight."""
    blocks: dict[int, BlockState] = {}
    for state in states:
        if state.version == version and state.seen:
            known = blocks.get(state.since)
            blocks[state.since] = state if known is None else known.joined(state)
    return [blocks[since] for since in sorted(blocks)]


def renewed(before: Sequence[BlockState], fresh: Sequence[BlockState]) -> list[BlockState]:
    """Return kept states made again from the states of single blocks, joined as they were.

    A state of which not all predictions are there any more is left out: it stays as it is.

    Args:
        before: The states as they are kept.
        fresh: Of all blocks that these are made of.
    """
    found = []
    for old in before:
        parts = [
            s
            for s in fresh
            if (s.version, s.role) == (old.version, old.role)
            and old.since <= s.since
            and s.until <= old.until
        ]
        if not parts or sum(p.predictions for p in parts) < old.predictions:
            continue
        whole = reduce(BlockState.joined, parts)
        found.append(msgspec.structs.replace(whole, since=old.since, until=old.until))
    return found


def counts_of(states: Sequence[BlockState], live: Live) -> dict[str, BlockCounts]:
    """Return each feature's counts by block, on the scale of the version's reference."""
    found = {}
    for name, scale in live.drift.scales.items():
        known = [s.columns[name] for s in states if name in s.columns]
        if known:
            numbers = np.arange(len(known), dtype=np.int64)
            found[name] = BlockCounts(scale, numbers, np.stack(known).astype(np.int64))
    return found


def stretches_before(
    states: Sequence[BlockState], live: Live, since: int, length: int
) -> list[dict[str, BlockCounts]]:
    """Return the counts before a window that make longer stretches with it.

    Args:
        states: What is known of the time before, of the window's version.
        live: The version.
        since: Where the window begins.
        length: How long it is.
    """
    found = []
    for windows in LONGER:
        begin = since - (windows - 1) * length
        inside = [s for s in states if begin <= s.since and s.until <= since]
        if inside and inside[0].since < begin + length:
            found.append(counts_of(inside, live))
    return found


def total(qualities: Sequence[Quality]) -> Quality | None:
    """Return the sum of several, or nothing of none."""
    return reduce(Quality.__add__, qualities) if qualities else None


def latency(states: Sequence[BlockState], share: float) -> float:
    """Return the latency that a share of predictions does not exceed, in microseconds."""
    bins = sum((s.latencies for s in states), np.zeros(len(LATENCIES) + 1))
    heights = np.cumsum(bins)
    if not heights[-1]:
        return 0.0
    place = int(np.searchsorted(heights, share * heights[-1]))
    return float(LATENCIES[min(place, len(LATENCIES) - 1)])


def _state(
    rows: pl.DataFrame, version: int, live: Live | None, length: int, segments: Sequence[str]
) -> BlockState:
    block = int(rows["block"][0])
    answered = rows.filter(pl.col("status") == "ok")
    labelled = answered.filter(pl.col("label").is_not_null())
    newest: Any = answered["arrived"].max()
    taken = rows["latency_us"].to_numpy()
    bins = np.searchsorted(LATENCIES, taken)
    columns: dict[str, Floats] = {}
    answers: Floats | None = None
    if live is not None and answered.height:
        columns = live.drift.counted(features_of(answered))
        answers = live.answers.counted(answers_of(live.signature, answered)).get("answer")
    return BlockState(
        version=version,
        since=block * length,
        until=(block + 1) * length,
        predictions=rows.height,
        errors=rows.height - answered.height,
        latencies=np.bincount(bins, minlength=len(LATENCIES) + 1).astype(np.float64),
        labelled=labelled.height,
        newest_label=-1 if newest is None else int(newest),
        columns=columns,
        answers=answers,
        realised=Quality.realised(live.signature, labelled) if live and labelled.height else None,
        expected=live.expected_quality(answered) if live and answered.height else None,
        role=str(rows["role"][0]),
        represented=represented(rows),
        segments=_segments(answered, live, segments) if live and answered.height else {},
    )


def _segments(
    answered: pl.DataFrame, live: Live, segments: Sequence[str]
) -> dict[str, dict[str, SegmentState]]:
    found = {}
    for segment in segments:
        values = values_of(answered, segment, prefix=FEATURE)
        if values is None:
            continue
        known = live.segment_values(segment)
        named = values.set(~values.is_in(known), OTHER)
        found[segment] = {
            value: _of_segment(answered.filter(named == value), live)
            for value in named.unique().sort()
        }
    return found


def _of_segment(rows: pl.DataFrame, live: Live) -> SegmentState:
    labelled = rows.filter(pl.col("label").is_not_null())
    quality = Quality.realised(live.signature, labelled) if labelled.height else None
    return SegmentState(predictions=rows.height, labelled=labelled.height, realised=quality)


def _united(
    left: dict[str, SegmentState], right: dict[str, SegmentState]
) -> dict[str, SegmentState]:
    return {value: _added(left.get(value), right.get(value)) for value in left | right}


def _quality(values: dict[str, Any] | None) -> Quality | None:
    return None if values is None else Quality(**values)


def _added(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def _encoded(value: Any) -> Any:
    array = np.ascontiguousarray(value, dtype="<f8")
    content = msgspec.msgpack.encode((list(array.shape), array.tobytes()))
    return msgspec.msgpack.Ext(1, content)


def _array(_code: int, content: memoryview) -> Floats:
    shape, data = msgspec.msgpack.decode(bytes(content))
    return np.frombuffer(data, "<f8").reshape(shape)
