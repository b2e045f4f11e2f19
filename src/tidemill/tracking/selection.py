"""Finds the rare param or tag that a filter asks for, from which its runs are read.

Runs are read newest first until a page is full, which is quick where many runs pass. Where few do,
because of one value that few runs have, it is quicker to begin at that value. In between, the runs
with that value are gathered first, and others are passed over by their ids alone, without a look at
their rows. How many have it is counted along the index, and no further than matters.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, literal_column, select

from tidemill.core.search.parser import parse_filter
from tidemill.core.search.syntax import Both, Comparison, Node
from tidemill.tracking.store import INDEXED, beginning, params, runs, tags

RARE = 4000
"""Runs that can be looked at one by one in the time that a page may take."""
SCARCE = 20_000
"""Runs whose ids can be gathered in a few milliseconds. Others are so common that pages fill."""
_TABLES = {
    **dict.fromkeys(("param", "params", "parameter", "parameters"), params),
    **dict.fromkeys(("tag", "tags"), tags),
}


class Selection(NamedTuple):
    """From what runs are to be selected.

    Attributes:
        source: Their table, or only those with a rare value.
        where: What those with a scarce value pass; the filter asks for it, too, but takes longer.
    """

    source: FromClause = runs
    where: tuple[ColumnElement[bool], ...] = ()


def selection_of(connection: Connection, filter: str) -> Selection:
    """Return from what the runs are to be selected that a filter lets through.

    Raises:
        BadSearch: The filter cannot be read.
    """
    counted: list[tuple[int, Select[tuple[str]]]] = []
    for comparison in _equalities(parse_filter(filter)):
        having = _having(comparison)
        some = having.limit(SCARCE + 1).subquery()
        count = connection.scalar(select(func.count()).select_from(some)) or 0
        counted.append((count, having))
    count, rarest = min(counted, key=lambda entry: entry[0], default=(SCARCE, None))
    if rarest is not None and count <= RARE:
        # The limit says to the planner how many there are at the most.
        rare = rarest.limit(RARE + 1).subquery()
        return Selection(rare.join(runs, runs.c.id == rare.c.run_id))
    if connection.dialect.name != "sqlite":
        return Selection()  # its planner knows how common values are
    # The sign keeps SQLite from looking up each of the ids, and sorting what it finds.
    named = literal_column("+tracking_runs.id", runs.c.id.type)
    return Selection(where=tuple(named.in_(having) for n, having in counted if n <= SCARCE))


def _equalities(node: Node | None) -> list[Comparison]:
    """Return the comparisons with a short text that every run of the result must pass."""
    parts = node.parts if isinstance(node, Both) else (node,)
    return [
        part
        for part in parts
        if isinstance(part, Comparison)
        and part.operator == "="
        and part.kind in _TABLES
        and isinstance(part.value, str)
        and len(part.value) < INDEXED
    ]


def _having(comparison: Comparison) -> Select[tuple[str]]:
    """Return the runs that have a value.

    Only the beginning is compared, which is the whole of a short text; comparing the whole as
    well would keep SQLite from the index.
    """
    table = _TABLES[comparison.kind]
    return select(table.c.run_id).where(
        table.c.key == comparison.key, beginning(table) == comparison.value
    )
