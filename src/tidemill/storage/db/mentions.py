"""Which digests the rows of tables mention, whatever the columns mean.

Garbage is told by this and not by a list of columns: a room that begins to keep a digest somewhere
new is safe without anybody remembering to say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import Column, Connection, String, Table, Text, func, or_, select, type_coerce
from sqlalchemy.types import TypeDecorator

LENGTH = 64
_DIGEST = re.compile(rf"(?<![0-9a-f])[0-9a-f]{{{LENGTH}}}(?![0-9a-f])")
_AT_ONCE = 2000


def mentioned(connection: Connection, tables: Iterable[Table]) -> set[str]:
    """Return every digest that stands in a text of any row, alone or inside a longer one.

    Args:
        connection: Whose state is looked at.
        tables: All tables that count.
    """
    found: set[str] = set()
    for table in tables:
        texts = [type_coerce(column, Text) for column in table.c if _holds_digests(column)]
        if not texts:
            continue
        long = or_(*(func.length(text) >= LENGTH for text in texts))
        query = select(*texts).where(long).execution_options(yield_per=_AT_ONCE)
        rows = connection.execute(query)
        for row in rows:
            for text in row:
                if text is not None:
                    found.update(_DIGEST.findall(text))
    return found


def _holds_digests(column: Column[object]) -> bool:
    kind = column.type.impl if isinstance(column.type, TypeDecorator) else column.type
    return isinstance(kind, String) and (kind.length is None or kind.length >= LENGTH)
