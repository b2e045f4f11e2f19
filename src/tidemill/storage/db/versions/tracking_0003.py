"""Logged models, and which datasets and models a run read and wrote."""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0003"
down_revision = "tracking_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tracking_inputs",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("digest", sa.String(36), nullable=False),
        sa.Column("source_type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("context", sa.String(500)),
        sa.Column("tags", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", "digest", name="pk_tracking_inputs"),
        sa.ForeignKeyConstraint(["run_id"], ["tracking_runs.id"], name="fk_tracking_inputs_run_id"),
    )
    op.create_table(
        "tracking_models",
        sa.Column("id", sa.String(34), nullable=False),
        sa.Column("experiment_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("model_type", sa.String(500), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("lifecycle", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracking_models"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["tracking_experiments.id"], name="fk_tracking_models_experiment_id"
        ),
    )
    op.create_index(
        "ix_tracking_models_experiment_id_created", "tracking_models", ["experiment_id", "created"]
    )
    op.create_table(
        "tracking_model_links",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("model_id", sa.String(34), nullable=False),
        sa.Column("way", sa.String(10), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "model_id", "way", name="pk_tracking_model_links"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["tracking_runs.id"], name="fk_tracking_model_links_run_id"
        ),
    )
    for table in ("tracking_model_params", "tracking_model_tags"):
        _of_model(
            table,
            sa.Column("key", sa.String(250), nullable=False),
            sa.Column("value", sa.Text, nullable=False),
            key=("key",),
        )
    _of_model(
        "tracking_model_metrics",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("dataset_name", sa.String(500), nullable=False),
        sa.Column("dataset_digest", sa.String(36), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("nan", sa.Boolean, nullable=False),
        key=("run_id", "key", "dataset_name", "dataset_digest"),
    )
    _of_model(
        "tracking_model_artifacts",
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        key=("path",),
    )


def _of_model(table: str, *columns: sa.Column, key: tuple[str, ...]) -> None:  # type: ignore[type-arg]
    op.create_table(
        table,
        sa.Column("model_id", sa.String(34), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("model_id", *key, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["model_id"], ["tracking_models.id"], name=f"fk_{table}_model_id"),
    )
