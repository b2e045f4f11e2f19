"""Keeps the lowest and the highest of every few hundred points, so that a plot need not look.

A metric's points are parted into blocks in the order of their steps, once some thousands have come
that are in none. Points are only ever added, so a block is true until one is written between its
steps. Beside the newest point of a metric stands the first step from which its points are loose,
that is, perhaps in no block; a write lowers it to its own first step in the statement that it needs
anyhow, and blocks that reach beyond it count no longer. So nothing is looked up when points are
written, and what comes late costs no more than what comes in order.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from tidemill.tracking.extremes import Point, Points
from tidemill.tracking.store import blocks

ENOUGH = 4096
"""How many loose points a metric has when blocks are made of them."""
SIZE = 256
"""How many points a block has, and those beside the last that are of the same step."""
_AHEAD = 2
"""How many points are put into blocks for each that was written: an old and long metric, or one
whose blocks count no longer, gets its blocks bit by bit."""

_COLUMNS = ", ".join(column.name for column in blocks.c)
_READ = (
    "SELECT first, last, low, low_timestamp, low_step, high, high_timestamp, high_step "
    "FROM tracking_blocks WHERE run_id = ? AND key = ? AND last >= ? AND last < "
    "(SELECT loose_from FROM tracking_newest WHERE run_id = ? AND key = ?) ORDER BY last"
)
_LAST = "SELECT MAX(last) FROM tracking_blocks WHERE run_id = ? AND key = ?"
_DROP = (
    "DELETE FROM tracking_blocks WHERE run_id = ? AND key = ? AND last >= "
    "(SELECT loose_from FROM tracking_newest WHERE run_id = ? AND key = ?)"
)
_INSERT = (
    f"INSERT INTO tracking_blocks ({_COLUMNS}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(blocks.c))})"
)
_SETTLE = "UPDATE tracking_newest SET loose_from = ?, loose = 0 WHERE run_id = ? AND key = ?"


class Block(NamedTuple):
    """Neighbouring points: all of those between two steps.

    Attributes:
        first: The first step.
        last: The last step.
        low: The lowest number; nothing where all are not-a-number.
        high: The highest.
    """

    first: int
    last: int
    low: Point | None
    high: Point | None


def read_blocks(points: Points, first: int) -> list[Block]:
    """Return the blocks that end at a step or later, in their order.

    Between their steps there is no point that is not in one of them; beyond the last there may be.
    """
    name = (points.run_id, points.key)
    return [
        Block(start, end, None, None)
        if low is None
        else Block(start, end, Point(low, low_at, low_step), Point(high, high_at, high_step))
        for start, end, low, low_at, low_step, high, high_at, high_step in points.execute(
            _READ, (*name, first, *name)
        ).fetchall()
    ]


def make_blocks(connection: Connection, run_id: str, key: str, loose: int) -> None:
    """Make blocks of a metric's loose points; those of the last step stay, as more may come.

    Args:
        connection: The connection of the write.
        run_id: The run.
        key: The metric.
        loose: How many points were written since blocks were made.
    """
    points = Points(connection, run_id, key)
    name = (run_id, key)
    points.execute(_DROP, (*name, *name))
    (known,) = points.execute(_LAST, name).fetchone()
    start = points.following(known)
    for _ in range(_AHEAD * loose // SIZE):
        last, beyond = _end(points, start)
        if start is None or last is None or beyond is None:
            break
        points.execute(_INSERT, _row(points, start, last))
        start = beyond
    points.execute(_SETTLE, (start, *name))


def _end(points: Points, start: int | None) -> tuple[int | None, int | None]:
    """Return the last step of a block, and the step with which the next begins."""
    last, beyond = (*points.after(SIZE - 1, start), None, None)[:2]
    return last, points.following(last) if last is not None and last == beyond else beyond


def _row(points: Points, first: int, last: int) -> tuple[object, ...]:
    low, high = points.lowest(first, last), points.highest(first, last)
    ends = (points.run_id, points.key, last, first)
    if low is None or high is None:
        return (*ends, *[None] * 6)
    return (*ends, *low[:3], *high[:3])
