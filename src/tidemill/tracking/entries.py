"""Writes what is logged to runs: many batches of many runs in a handful of statements.

This is what clients ask for most, and each of them waits for the disk. So the statements are
texts that are made once, their rows are tuples, and the batches that wait share them: one look at
the runs, one at the params, one insert for each table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Connection

from tidemill.tracking.blocks import ENOUGH, make_blocks
from tidemill.tracking.errors import NotActive, ParamChanged, RunNotFound
from tidemill.tracking.records import Metric, Param, Tag
from tidemill.tracking.store import driver_of

PointRow = tuple[str, str, int, int, float, bool]
_TextRow = tuple[str, str, str]
_State = tuple[str, str]
"""A run's lifecycle and its experiment."""
NAME_TAG = "mlflow.runName"
"""The tag that is a run's name."""
_ASKED_AT_ONCE = 500
_TOGETHER = 128


class Batch(msgspec.Struct, frozen=True):
    """What is logged to one run at once, whole or not at all.

    Attributes:
        run_id: The run.
        points: Rows of the table of points.
        params: Are written once.
        tags: Replace those of the same keys.
    """

    run_id: str
    points: list[PointRow] = []
    params: list[Param] = []
    tags: list[Tag] = []


def point_row(run_id: str, point: Metric) -> PointRow:
    """Return a point as a row; not-a-number is a mark beside a zero, so that rows compare."""
    value = point.value
    if math.isnan(value):
        return run_id, point.key, point.step, point.timestamp, 0.0, True
    return run_id, point.key, point.step, point.timestamp, float(value), False


def point_rows(run_id: str, points: Iterable[Metric]) -> list[PointRow]:
    """Return points as rows."""
    return [
        (run_id, point.key, point.step, point.timestamp, point.value, False)
        if type(point.value) is float and point.value == point.value
        else point_row(run_id, point)
        for point in points
    ]


def write(connection: Connection, batches: Sequence[Batch]) -> list[BaseException | None]:
    """Write batches in their order.

    Returns:
        For each batch nothing, or the error for which nothing of it was written: `RunNotFound`,
        `NotActive` or `ParamChanged`.
    """
    states = _states(connection, {batch.run_id for batch in batches})
    known = _known_params(connection, batches)
    answers: list[BaseException | None] = []
    points: list[PointRow] = []
    params: list[_TextRow] = []
    tags: dict[tuple[str, str], str] = {}
    for batch in batches:
        fresh: list[_TextRow] = []
        refused = _refusal(batch, states) or _take_params(batch, known, fresh)
        answers.append(refused)
        if refused is None:
            points += batch.points
            params += fresh
            tags |= {(batch.run_id, tag.key): tag.value for tag in batch.tags}
    _keep(connection, points, states)
    _insert(connection, "params", params)
    _insert(connection, "tags", [(*name, value) for name, value in tags.items()])
    _rename(connection, tags)
    return answers


def keep_points(connection: Connection, points: Sequence[PointRow]) -> None:
    """Write points of runs that are there, deleted or not; each point is kept once."""
    _keep(connection, points, _states(connection, {row[0] for row in points}))


def _keep(connection: Connection, points: Sequence[PointRow], states: dict[str, _State]) -> None:
    _insert(connection, "points", points)
    best = [(*row, states[row[0]][1], first, count) for row, first, count in _newest(points)]
    for run_id, key, loose in _insert(connection, "newest", best):
        if loose >= ENOUGH:
            make_blocks(connection, run_id, key, loose)


def _rename(connection: Connection, tags: dict[tuple[str, str], str]) -> None:
    for (run_id, key), name in tags.items():
        if key == NAME_TAG and name:
            mark = _marks(connection, (name,))
            query = f"UPDATE tracking_runs SET name = {mark} WHERE id = {mark}"  # noqa: S608 marks
            _execute(connection, query, (name[:500], run_id))


def _refusal(batch: Batch, states: dict[str, _State]) -> BaseException | None:
    if batch.run_id not in states:
        return RunNotFound(f"Run with id={batch.run_id} not found")
    lifecycle, _ = states[batch.run_id]
    if lifecycle != "active":
        return NotActive(
            f"The run {batch.run_id} must be in the 'active' state. Current state is {lifecycle}.",
            expected="an active run",
        )
    return None


def _take_params(
    batch: Batch, known: dict[tuple[str, str], str], fresh: list[_TextRow]
) -> BaseException | None:
    """Add a batch's params to those that are known; one that would change refuses them all."""
    taken: dict[tuple[str, str], str] = {}
    for param in batch.params:
        name = (batch.run_id, param.key)
        before = known.get(name, taken.get(name))
        if before is None:
            taken[name] = param.value
            fresh.append((*name, param.value))
        elif before != param.value:
            return ParamChanged(
                f"Changing param values is not allowed. Param with key={param.key!r} was already "
                f"logged with value={before!r} for run ID={batch.run_id!r}. Attempted logging new "
                f"value {param.value!r}.",
                expected="the value that it was logged with before",
                hint="Log it under another key, or in another run.",
            )
    known |= taken
    return None


def _newest(points: Iterable[PointRow]) -> list[tuple[PointRow, int, int]]:
    """Return the newest point of each metric of each run, its first step, and how many it has."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in points:
        known = found.get(row[:2])
        if known is None:
            found[row[:2]] = [row, row[2], 1]
            continue
        known[2] += 1
        # The step alone says it nearly always, and slices take longer.
        if row[2] > known[0][2] or row[2:5] > known[0][2:5]:
            known[0] = row
        elif row[2] < known[1]:
            known[1] = row[2]
    return [(row, first, count) for row, first, count in found.values()]


def _states(connection: Connection, ids: set[str]) -> dict[str, _State]:
    found: dict[str, _State] = {}
    for some in _pieces(sorted(ids)):
        marks = _marks(connection, some)
        query = (
            "SELECT id, lifecycle, experiment_id FROM tracking_runs "  # noqa: S608 marks
            f"WHERE id IN ({marks})"
        )
        for run_id, lifecycle, experiment_id in _execute(connection, query, some):
            found[run_id] = (lifecycle, experiment_id)
    return found


def _known_params(connection: Connection, batches: Sequence[Batch]) -> dict[tuple[str, str], str]:
    """Return the params that the batches' runs have, of the keys that are to be written."""
    wanted = sorted({(b.run_id, p.key) for b in batches for p in b.params})
    found: dict[tuple[str, str], str] = {}
    for some in _pieces(wanted):
        marks = ", ".join([f"({_marks(connection, some[0])})"] * len(some))
        query = (
            "SELECT run_id, key, value FROM tracking_params "  # noqa: S608 marks
            f"WHERE (run_id, key) IN (VALUES {marks})"
        )
        flat = tuple(part for name in some for part in name)
        for run_id, key, value in _execute(connection, query, flat):
            found[run_id, key] = value
    return found


_POINT = "(run_id, key, step, timestamp, value, nan)"
_BEST = "(run_id, key, step, timestamp, value, nan, experiment_id, loose_from, loose)"
_TEXT = "(run_id, key, value)"
_OLD = "tracking_newest"
_NEWER = (
    "(excluded.step, excluded.timestamp, excluded.value) > "
    f"({_OLD}.step, {_OLD}.timestamp, {_OLD}.value)"
)


def _better(column: str, where: str = _NEWER) -> str:
    return f"{column} = CASE WHEN {where} THEN excluded.{column} ELSE {_OLD}.{column} END"


_INSERTS = {
    "points": f"tracking_points {_POINT} VALUES (%) ON CONFLICT DO NOTHING",
    # `blocks` tells what is loose.
    "newest": (
        f"{_OLD} {_BEST} VALUES (%) ON CONFLICT (run_id, key) DO UPDATE SET "
        f"{', '.join(map(_better, ('step', 'timestamp', 'value', 'nan')))}, "
        f"{_better('loose_from', f'excluded.loose_from < {_OLD}.loose_from')}, "
        f"loose = {_OLD}.loose + excluded.loose RETURNING run_id, key, loose"
    ),
    "params": f"tracking_params {_TEXT} VALUES (%) ON CONFLICT DO NOTHING",
    "tags": (
        f"tracking_tags {_TEXT} VALUES (%) ON CONFLICT (run_id, key) DO UPDATE SET "
        "value = excluded.value"
    ),
}


def _insert(
    connection: Connection, table: str, rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Insert rows in as few statements as there are ones in their number, written in binary.

    A statement of many rows takes half the time of many statements of one, and gives the
    interpreter to another thread once where those do so for each row. What the statements return
    is returned.
    """
    at, size = 0, _TOGETHER
    returned: list[tuple[Any, ...]] = []
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        statement = _statement(table, _marks(connection, rows[0]), size)
        done = _execute(connection, statement, tuple(chain.from_iterable(rows[at : at + size])))
        if table == "newest":
            returned += done.fetchall()
        at += size
    return returned


def _execute(connection: Connection, statement: str, values: tuple[Any, ...]) -> Any:
    """Execute a text; SQLite's driver is asked itself, which takes half the time for a few rows."""
    if connection.dialect.name == "sqlite":
        return driver_of(connection).execute(statement, values)
    return connection.exec_driver_sql(statement, values)


@lru_cache
def _statement(table: str, marks: str, rows: int) -> str:
    inserted = _INSERTS[table].replace("(%)", ", ".join([f"({marks})"] * rows))
    return f"INSERT INTO {inserted}"


def _marks(connection: Connection, values: Sequence[Any]) -> str:
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    return ", ".join([mark] * len(values))


def _pieces(values: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
    for start in range(0, len(values), _ASKED_AT_ONCE):
        yield tuple(values[start : start + _ASKED_AT_ONCE])
