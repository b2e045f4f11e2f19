"""The serving tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)

from tidemill.serving.evidence import Look, ShadowReport
from tidemill.serving.records import Deployment, Rollout
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record

deployments = Table(
    "serving_deployments",
    metadata,
    Column("endpoint", String(128), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("deployment", Record(Deployment), nullable=False),
)
rollouts = Table(
    "serving_rollouts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("endpoint", String(128), nullable=False),
    Column("status", String(20), nullable=False),
    Column("rollout", Record(Rollout), nullable=False),
    Index(None, "endpoint", "status"),
)
looks = Table(
    "serving_looks",
    metadata,
    Column("rollout", String(32), primary_key=True),
    Column("time", Moment, primary_key=True),
    Column("look", Record(Look), nullable=False),
)
shadows = Table(
    "serving_shadows",
    metadata,
    Column("endpoint", String(128), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("time", Moment, nullable=False),
    Column("report", Record(ShadowReport), nullable=False),
)


def read_deployments(connection: Connection) -> list[Deployment]:
    """Return every endpoint's deployment, by name."""
    query = select(deployments.c.deployment).order_by(deployments.c.endpoint)
    return list(connection.scalars(query))


def read_deployment(connection: Connection, endpoint: str) -> Deployment | None:
    """Return an endpoint's deployment, or nothing."""
    return connection.scalar(select(deployments.c.deployment).filter_by(endpoint=endpoint))


def generation(connection: Connection) -> int:
    """Return the number of the newest change."""
    return connection.scalar(select(func.max(deployments.c.generation))) or 0


def set_deployment(connection: Connection, deployment: Deployment) -> None:
    """Write what stands behind an endpoint."""
    number = generation(connection) + 1
    connection.execute(delete(deployments).filter_by(endpoint=deployment.endpoint))
    row = {"endpoint": deployment.endpoint, "generation": number, "deployment": deployment}
    connection.execute(insert(deployments), row)


def read_rollouts(
    connection: Connection, endpoint: str | None = None, status: str | None = None
) -> list[Rollout]:
    """Return rollouts, newest first."""
    query = select(rollouts.c.rollout)
    if endpoint is not None:
        query = query.where(rollouts.c.endpoint == endpoint)
    if status is not None:
        query = query.where(rollouts.c.status == status)
    return list(connection.scalars(query.order_by(rollouts.c.id.desc())))


def read_rollout(connection: Connection, identifier: str) -> Rollout:
    """Return the rollout of an id that is known."""
    query = select(rollouts.c.rollout).filter_by(id=identifier)
    found: Rollout = connection.scalars(query).one()
    return found


def set_rollout(connection: Connection, rollout: Rollout) -> None:
    """Write how a rollout stands."""
    connection.execute(delete(rollouts).filter_by(id=rollout.id))
    row = {"id": rollout.id, "endpoint": rollout.endpoint, "status": rollout.status}
    connection.execute(insert(rollouts), row | {"rollout": rollout})


def read_looks(connection: Connection, rollout: str) -> list[Look]:
    """Return the looks at a rollout's evidence, oldest first."""
    query = select(looks.c.look).filter_by(rollout=rollout).order_by(looks.c.time)
    return list(connection.scalars(query))


def set_look(connection: Connection, rollout: str, look: Look) -> None:
    """Keep one look at a rollout's evidence."""
    key = {"rollout": rollout, "time": look.time}
    connection.execute(delete(looks).filter_by(**key))
    connection.execute(insert(looks), key | {"look": look})


def drop_looks(connection: Connection, rollout: str, moments: Sequence[datetime]) -> None:
    """Forget looks at a rollout's evidence."""
    connection.execute(delete(looks).where(looks.c.rollout == rollout, looks.c.time.in_(moments)))


def read_shadows(connection: Connection, endpoint: str) -> list[ShadowReport]:
    """Return the comparisons of an endpoint's shadows, newest first."""
    query = select(shadows.c.report).filter_by(endpoint=endpoint)
    return list(connection.scalars(query.order_by(shadows.c.time.desc())))


def set_shadow(connection: Connection, report: ShadowReport) -> None:
    """Keep a comparison in place of an older one of the same version."""
    key = {"endpoint": report.endpoint, "version": report.version}
    connection.execute(delete(shadows).filter_by(**key))
    connection.execute(insert(shadows), key | {"time": report.time, "report": report})
