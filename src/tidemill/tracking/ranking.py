"""Ranks an experiment's runs by a metric, along the index of their newest points.

A sort would have to look at every run of the experiment. Here the best are found first, and what
a page does not show is never read: runs with a number, then those whose newest point is none,
then those without the metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, not_, select

from tidemill.core.search.parser import parse_order
from tidemill.core.search.syntax import Order
from tidemill.tracking.store import newest, runs

_METRIC = frozenset({"metric", "metrics"})


class Ranking(msgspec.Struct, frozen=True):
    """Which experiment's runs, by which metric.

    Attributes:
        experiment_id: The experiment.
        order: The metric, and whether the largest comes first.
    """

    experiment_id: str
    order: Order


def ranking_of(experiment_ids: Sequence[str] | None, order_by: Sequence[str]) -> Ranking | None:
    """Return the ranking that a search asks for; nothing where it is not of one metric alone.

    Raises:
        BadSearch: The order cannot be read.
    """
    if experiment_ids is None or len(experiment_ids) != 1 or len(order_by) != 1:
        return None
    order = parse_order(order_by[0])
    return Ranking(experiment_ids[0], order) if order.kind in _METRIC else None


def read_ranked(
    connection: Connection,
    ranking: Ranking,
    where: Sequence[ColumnElement[bool]],
    limit: int,
    offset: int,
) -> list[Row[Any]]:
    """Return rows of runs in the order of a ranking; the newest first among equals."""
    found: list[Row[Any]] = []
    skip = offset
    for part in _parts(ranking, where):
        rows = connection.execute(part.limit(limit - len(found)).offset(skip)).all()
        found += rows
        if len(found) == limit:
            break
        if rows:
            skip = 0
        elif skip:
            skip -= connection.scalar(select(func.count()).select_from(part.subquery())) or 0
    return found


def _parts(ranking: Ranking, where: Sequence[ColumnElement[bool]]) -> list[Select[Any]]:
    mine = (newest.c.experiment_id == ranking.experiment_id, newest.c.key == ranking.order.key)
    joined = select(runs).join_from(newest, runs, newest.c.run_id == runs.c.id).where(*mine, *where)
    value = newest.c.value.desc() if ranking.order.descending else newest.c.value.asc()
    last = (runs.c.started.desc(), runs.c.id.asc())
    has = exists().where(newest.c.run_id == runs.c.id, newest.c.key == ranking.order.key)
    of_experiment = runs.c.experiment_id == ranking.experiment_id
    return [
        joined.where(newest.c.nan.is_(False)).order_by(value, *last),
        joined.where(newest.c.nan.is_(True)).order_by(*last),
        select(runs).where(of_experiment, *where, not_(has)).order_by(*last),
    ]
