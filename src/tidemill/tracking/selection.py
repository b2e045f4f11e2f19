"""Finds the rare param or tag that a filter asks for, from which its runs are read.

Runs are read newest first until a page is full, which is quick where many runs pass. Where few do,
because of one value that few runs have, it is quicker to begin at that value. How many have it is
counted along the index, and no further than matters.
"""

from __future__ import annotations

from sqlalchemy import Connection, FromClause, func, select
from sqlalchemy.sql.selectable import Subquery

from tidemill.core.search.parser import parse_filter
from tidemill.core.search.syntax import Both, Comparison, Node
from tidemill.tracking.store import INDEXED, beginning, params, runs, tags

RARE = 8000
"""Runs that can be looked at one by one in the time that a page may take."""
_TABLES = {
    **dict.fromkeys(("param", "params", "parameter", "parameters"), params),
    **dict.fromkeys(("tag", "tags"), tags),
}


def source_of(connection: Connection, filter: str) -> FromClause:
    """Return from what runs are to be selected: their table, or only those with a rare value.

    Raises:
        BadSearch: The filter cannot be read.
    """
    best: tuple[int, Subquery] | None = None
    for comparison in _equalities(parse_filter(filter)):
        having = _having(comparison)
        count = connection.scalar(select(func.count()).select_from(having)) or 0
        if count <= RARE and (best is None or count < best[0]):
            best = count, having
    if best is None:
        return runs
    return best[1].join(runs, runs.c.id == best[1].c.run_id)


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


def _having(comparison: Comparison) -> Subquery:
    """Return the runs that have a value, one more than are few at the most.

    Only the beginning is compared, which is the whole of a short text; comparing the whole as
    well would keep SQLite from the index.
    """
    table = _TABLES[comparison.kind]
    query = select(table.c.run_id).where(
        table.c.key == comparison.key, beginning(table) == comparison.value
    )
    return query.limit(RARE + 1).subquery()
