"""Forgets the pipeline runs of tracking runs that were erased, and values that none needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from tidemill.pipelines import store


def forget(connection: Connection, run_ids: Sequence[str], *, before: datetime) -> None:
    """Forget runs with their steps, and values of before a moment that no step has any more.

    Args:
        connection: The connection of the write.
        run_ids: Which runs.
        before: Younger values stay: their step may be about to be written.
    """
    connection.execute(delete(store.steps).where(store.steps.c.run_id.in_(run_ids)))
    connection.execute(delete(store.runs).where(store.runs.c.id.in_(run_ids)))
    used = select(store.steps.c.key).where(store.steps.c.key == store.values.c.key)
    unused = delete(store.values).where(store.values.c.created < before, ~used.exists())
    connection.execute(unused)
