"""The serving tables."""

from __future__ import annotations

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

from tidemill.serving.records import Deployment, Rollout
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Record

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


def set_rollout(connection: Connection, rollout: Rollout) -> None:
    """Write how a rollout stands."""
    connection.execute(delete(rollouts).filter_by(id=rollout.id))
    row = {"id": rollout.id, "endpoint": rollout.endpoint, "status": rollout.status}
    connection.execute(insert(rollouts), row | {"rollout": rollout})
