"""Versions that are only files, MLflow's stages, tags that can be searched, numbers kept."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "registry_0002"
down_revision = "registry_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "registry_numbers",
        sa.Column("model", sa.String(250), nullable=False),
        sa.Column("highest", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_registry_numbers"),
    )
    _tags_table("registry_model_tags", "model")
    _tags_table("registry_version_tags", "model", "version")
    op.add_column("registry_models", _filled("updated", sa.BigInteger(), "0"))
    for name, kind in (
        ("model_id", sa.String(40)),
        ("source", sa.Text()),
        ("description", sa.Text()),
        ("run_link", sa.Text()),
    ):
        op.add_column("registry_versions", _filled(name, kind, ""))
    op.add_column("registry_versions", _filled("stage", sa.String(20), "None"))
    op.add_column("registry_versions", _filled("updated", sa.BigInteger(), "0"))
    op.create_index("ix_registry_versions_updated", "registry_versions", ["updated"])
    _carry_over(op.get_bind())
    op.drop_column("registry_models", "tags")


def _filled(name: str, kind: sa.types.TypeEngine[Any], default: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def _tags_table(name: str, *owner: str) -> None:
    kinds: dict[str, sa.types.TypeEngine[Any]] = {"model": sa.String(250), "version": sa.Integer()}
    parent = "registry_versions" if "version" in owner else "registry_models"
    there = [f"{parent}.{'name' if parent == 'registry_models' else column}" for column in owner]
    op.create_table(
        name,
        *(sa.Column(column, kinds[column], nullable=False) for column in owner),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint(*owner, "key", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(list(owner), there, name=f"fk_{name}_{'_'.join(owner)}"),
    )


def _carry_over(connection: sa.Connection) -> None:
    connection.execute(sa.text("UPDATE registry_models SET updated = created"))
    connection.execute(sa.text("UPDATE registry_versions SET updated = created"))
    connection.execute(
        sa.text(
            "INSERT INTO registry_numbers (model, highest) "
            "SELECT model, MAX(version) FROM registry_versions GROUP BY model"
        )
    )
    for name, tags in connection.execute(sa.text("SELECT name, tags FROM registry_models")).all():
        for key, value in json.loads(tags).items():
            connection.execute(
                sa.text("INSERT INTO registry_model_tags VALUES (:model, :key, :value)"),
                {"model": name, "key": key, "value": value},
            )
    rows = connection.execute(sa.text("SELECT model, version, record FROM registry_versions")).all()
    for model, version, record in rows:
        known = json.loads(record)
        owner = {"model": model, "version": version}
        connection.execute(
            sa.text(
                "UPDATE registry_versions SET description = :description "
                "WHERE model = :model AND version = :version"
            ),
            owner | {"description": known.get("description", "")},
        )
        for key, value in known.get("tags", {}).items():
            connection.execute(
                sa.text(
                    "INSERT INTO registry_version_tags VALUES (:model, :version, :key, :value)"
                ),
                owner | {"key": key, "value": value},
            )
