"""The monitor's tables.

Rows of the last few windows are kept, so that late and corrected labels find their predictions;
older ones are only in the letterbox, and in the windows' reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tidemill.monitoring.accounts import accounts, counted, seen_by
from tidemill.monitoring.arrivals import hours
from tidemill.monitoring.episodes import standing
from tidemill.monitoring.health.rings import health
from tidemill.monitoring.kept import PLAIN, LabelEntry
from tidemill.monitoring.records import WindowReport
from tidemill.monitoring.state import BlockState, decoded, joined_pairs
from tidemill.predictions.records import Cursor
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the monitor came with an endpoint.

    Attributes:
        predictions: What was read of the predictions.
        labels: What was read of the labels.
        judged: Up to where windows are judged, in microseconds since 1970.
        silent: Whether the newest window had no prediction; the next begins with the next one.
        searched: Up to which arrival waiting labels were looked for in the log, in microseconds
            since 1970.
    """

    predictions: Cursor = Cursor()
    labels: Cursor = Cursor()
    judged: int | None = None
    silent: bool = False
    searched: int = -1


state = Table(
    "monitoring_state",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("progress", Record(Progress), nullable=False),
)
rows = Table(
    "monitoring_rows",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("key", String(500)),
    Column("version", Integer, nullable=False),
    Column("role", String(10), nullable=False),
    Column("status", String(10), nullable=False),
    Column("latency_us", Integer, nullable=False),
    Column("weight", Float, nullable=False, server_default="1"),
    Column("answer", LargeBinary, nullable=False),
    Column("label", LargeBinary),
    Column("arrived", BigInteger),
    Column("touched", BigInteger),
    Index(None, "endpoint", "time"),
    Index(None, "endpoint", "key"),
)
Index(
    "ix_monitoring_rows_touched",
    rows.c.endpoint,
    rows.c.touched,
    sqlite_where=rows.c.touched.is_not(None),
    postgresql_where=rows.c.touched.is_not(None),
)
pending = Table(
    "monitoring_pending",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("by", String(3), primary_key=True),
    Column("name", String(500), primary_key=True),
    Column("label", LargeBinary, nullable=False),
    Column("arrived", BigInteger, nullable=False),
)
windows = Table(
    "monitoring_windows",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("since", Moment, primary_key=True),
    Column("report", Record(WindowReport), nullable=False),
)
blocks = Table(
    "monitoring_blocks",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("model", String(250), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("role", String(10), primary_key=True),
    Column("since", BigInteger, primary_key=True),
    Column("until", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
TABLES = (state, rows, pending, windows, blocks, accounts, counted, standing, health, hours)
"""All tables of the room; some stand beside what they are for."""
_PART = 500
"""How many names a query asks for at once."""


def read_progress(connection: Connection, endpoint: str) -> Progress:
    """Return how far the monitor came."""
    known = connection.scalar(select(state.c.progress).filter_by(endpoint=endpoint))
    return known or Progress()


def set_progress(connection: Connection, endpoint: str, progress: Progress) -> None:
    """Keep how far the monitor came."""
    connection.execute(delete(state).filter_by(endpoint=endpoint))
    connection.execute(insert(state), {"endpoint": endpoint, "progress": progress})


def take_in(
    connection: Connection,
    endpoint: str,
    entries: list[dict[str, Any]],
    labels: list[LabelEntry],
) -> None:
    """Keep predictions, each once, and labels with them; the last label to arrive wins.

    A label whose prediction has not been seen waits for it: the two travel by different ways, and
    either may be first. What is written is numbered, where somebody counts what changes.
    """
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    seen = seen_by(connection, endpoint)
    touch = {} if seen is None else {"touched": newest_touch(connection, endpoint, seen[1]) + 1}
    if entries:
        connection.execute(make(rows).on_conflict_do_nothing(), [e | touch for e in entries])
    waiting = _waiting(connection, endpoint, entries)
    _set_labels(connection, endpoint, waiting, touch)
    _set_labels(connection, endpoint, labels, touch)
    _wait(connection, endpoint, labels, make)


def newest_touch(connection: Connection, endpoint: str, seen: int) -> int:
    """Return the number of the last `take_in` that wrote any row, or which is known to have."""
    here = rows.c.endpoint == endpoint, rows.c.touched.is_not(None)
    return max(connection.scalar(select(func.max(rows.c.touched)).where(*here)) or 0, seen)


def waiting_since(connection: Connection, endpoint: str, arrived: int) -> list[LabelEntry]:
    """Return the labels without a prediction that arrived after a moment.

    Those by key are kept in any case, and only count where no prediction of their key is kept.
    """
    met = rows.c.endpoint == endpoint, rows.c.key == pending.c.name
    alone = or_(pending.c.by == "id", ~select(rows.c.id).where(*met).exists())
    query = select(pending).where(
        pending.c.endpoint == endpoint, pending.c.arrived > arrived, alone
    )
    return [LabelEntry(r.by, r.name, r.label, r.arrived) for r in connection.execute(query)]


def _waiting(
    connection: Connection, endpoint: str, entries: list[dict[str, Any]]
) -> list[LabelEntry]:
    """Return the labels that waited for these predictions.

    Those by id wait no longer; those by key stay, for other predictions of their key.
    """
    found = []
    for by, name in (("id", "id"), ("key", "key")):
        names = [e[name] for e in entries if e[name] is not None]
        for part in _parts(names):
            here = (pending.c.endpoint == endpoint, pending.c.by == by, pending.c.name.in_(part))
            met = connection.execute(select(pending).where(*here)).all()
            found += [LabelEntry(r.by, r.name, r.label, r.arrived) for r in met]
            if met and by == "id":
                connection.execute(delete(pending).where(*here))
    return sorted(found, key=lambda e: e.arrived)


def _set_labels(
    connection: Connection, endpoint: str, labels: list[LabelEntry], touch: dict[str, int]
) -> None:
    """Set labels where no later one is; of two that arrived together the one by id counts.

    So it is the same in whatever order they are taken in.
    """
    values: dict[str, Any] = {"label": bindparam("a_label"), "arrived": bindparam("an_arrival")}
    moment: ColumnElement[int] = bindparam("an_arrival")
    base = update(rows).where(rows.c.endpoint == endpoint).values(values | touch)
    for by, column, earlier in (
        ("id", rows.c.id, rows.c.arrived <= moment),
        ("key", rows.c.key, rows.c.arrived < moment),
    ):
        chosen = [
            {"a_name": e.name, "a_label": e.label, "an_arrival": e.arrived}
            for e in labels
            if e.by == by
        ]
        if chosen:
            mine = base.where(column == bindparam("a_name"))
            connection.execute(mine.where(or_(rows.c.arrived.is_(None), earlier)), chosen)


def _wait(connection: Connection, endpoint: str, labels: list[LabelEntry], make: Any) -> None:
    """Keep the labels that found no prediction, and those by key in any case."""
    for by, column in (("id", rows.c.id), ("key", rows.c.key)):
        mine = {e.name: e for e in labels if e.by == by}
        for part in _parts(list(mine)):
            known = select(column).where(rows.c.endpoint == endpoint, column.in_(part))
            lost = set(part) - (set(connection.scalars(known)) if by == "id" else set())
            values = [
                {
                    "endpoint": endpoint,
                    "by": by,
                    "name": name,
                    "label": mine[name].label,
                    "arrived": mine[name].arrived,
                }
                for name in sorted(lost)
            ]
            if values:
                query = make(pending)
                newer = {"label": query.excluded.label, "arrived": query.excluded.arrived}
                keys = ("endpoint", "by", "name")
                later = query.excluded.arrived >= pending.c.arrived
                connection.execute(
                    query.on_conflict_do_update(index_elements=keys, set_=newer, where=later),
                    values,
                )


def _parts(names: list[str]) -> list[list[str]]:
    return [names[i : i + _PART] for i in range(0, len(names), _PART)]


def first_time(
    connection: Connection, endpoint: str, since: int = 0, until: int = 2**62
) -> int | None:
    """Return when the oldest prediction of a stretch was made, in microseconds since 1970."""
    oldest: int | None = connection.scalar(
        select(func.min(rows.c.time)).where(*_between(endpoint, since, until))
    )
    return oldest


def ahead(connection: Connection, endpoint: str, now: int) -> tuple[int, int]:
    """Return how many predictions are dated after a moment, and the latest of their dates."""
    query = select(func.count(), func.max(rows.c.time)).where(
        rows.c.endpoint == endpoint, rows.c.time > now
    )
    many, latest = connection.execute(query).one()
    return many, latest or 0


def coverage(connection: Connection, endpoint: str, since: int, until: int) -> tuple[int, int]:
    """Return how many predictions a stretch has, and how many of them are labelled."""
    query = select(func.count(), func.count(rows.c.label)).where(
        *_between(endpoint, since, until), rows.c.role != "shadow"
    )
    total, labelled = connection.execute(query).one()
    return total, labelled


def newest_label(connection: Connection, endpoint: str, since: int, until: int) -> int | None:
    """Return when the newest label of a stretch arrived, in microseconds since 1970."""
    newest: int | None = connection.scalar(
        select(func.max(rows.c.arrived)).where(
            *_between(endpoint, since, until), rows.c.role != "shadow", rows.c.status == "ok"
        )
    )
    return newest


def read_raw(
    connection: Connection, endpoint: str, since: int, until: int, *where: Any
) -> list[list[Any]]:
    """Return a stretch's predictions by time, as they are kept; `framed` reads them."""
    chosen = [rows.c[n] for n in (*PLAIN, "arrived", "label", "answer")]
    query = select(*chosen).where(*_between(endpoint, since, until), *where)
    return [list(row) for row in connection.execute(query.order_by("time", "id"))]


def forget(connection: Connection, endpoint: str, before: int) -> None:
    """Remove predictions that no window will need again, and labels that waited as long.

    Where somebody counts them, none is removed from the first on that has not been counted: the
    rows of a request are counted together.
    """
    seen = seen_by(connection, endpoint)
    first = before
    if seen is not None:
        new = select(func.min(rows.c.time)).where(rows.c.endpoint == endpoint)
        uncounted = connection.scalar(new.where(rows.c.touched > seen[0]))
        first = before if uncounted is None else min(before, uncounted)
    connection.execute(delete(rows).where(rows.c.endpoint == endpoint, rows.c.time < first))
    late = (pending.c.endpoint == endpoint, pending.c.arrived < before)
    connection.execute(delete(pending).where(*late))


def set_window(connection: Connection, report: WindowReport) -> None:
    """Keep a window's report in place of an older one."""
    key = {"endpoint": report.endpoint, "since": report.since}
    connection.execute(delete(windows).filter_by(**key))
    connection.execute(insert(windows), key | {"report": report})


def read_windows(
    connection: Connection, endpoint: str, since: datetime | None, limit: int | None
) -> list[WindowReport]:
    """Return windows' reports, newest first."""
    query = select(windows.c.report).filter_by(endpoint=endpoint)
    if since is not None:
        query = query.where(windows.c.since >= since)
    return list(connection.scalars(query.order_by(windows.c.since.desc()).limit(limit)))


def set_states(
    connection: Connection, endpoint: str, model: str, states: Sequence[BlockState]
) -> None:
    """Keep the states of blocks in place of older ones of the same blocks."""
    for state in states:
        key = {
            "endpoint": endpoint,
            "model": model,
            "version": state.version,
            "role": state.role,
            "since": state.since,
        }
        connection.execute(delete(blocks).filter_by(**key))
        connection.execute(insert(blocks), key | {"until": state.until, "state": state.encoded()})


def read_states(
    connection: Connection, endpoint: str, model: str, since: int, until: int
) -> list[BlockState]:
    """Return the states of the blocks that begin in a stretch, by time."""
    query = select(blocks.c.state).where(
        blocks.c.endpoint == endpoint,
        blocks.c.model == model,
        blocks.c.since < until,
        blocks.c.until > since,
    )
    found = connection.scalars(query.order_by(blocks.c.since, blocks.c.version, blocks.c.role))
    return [decoded(content) for content in found]


def first_block(connection: Connection, endpoint: str, model: str, version: int) -> int | None:
    """Return when a version's first kept block begins, in microseconds since 1970."""
    where = {"endpoint": endpoint, "model": model, "version": version}
    first: int | None = connection.scalar(select(func.min(blocks.c.since)).filter_by(**where))
    return first


def join_states(connection: Connection, endpoint: str, model: str, before: int, most: int) -> None:
    """Join states of long ago in pairs where there are more than so many.

    Args:
        connection: To the database.
        endpoint: Which.
        model: Which.
        before: From when on they are kept as they are, since late labels may still change them.
        most: How many older ones there may be.
    """
    here = (blocks.c.endpoint == endpoint, blocks.c.model == model, blocks.c.until <= before)
    many = connection.scalar(select(func.count()).where(*here)) or 0
    if many > most:
        known = connection.scalars(select(blocks.c.state).where(*here)).all()
        connection.execute(delete(blocks).where(*here))
        joined = joined_pairs([decoded(content) for content in known], most)
        set_states(connection, endpoint, model, joined)


def _between(endpoint: str, since: int, until: int) -> tuple[Any, ...]:
    return rows.c.endpoint == endpoint, rows.c.time >= since, rows.c.time < until
