"""Experiments, runs, and what is logged to them."""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0001"
down_revision = None
branch_labels = ("tracking",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tracking_experiments",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("lifecycle", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracking_experiments"),
        sa.UniqueConstraint("name", name="uq_tracking_experiments_name"),
    )
    op.create_table(
        "tracking_runs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("experiment_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("parent", sa.String(32), nullable=True),
        sa.Column("lifecycle", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracking_runs"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["tracking_experiments.id"], name="fk_tracking_runs_experiment_id"
        ),
    )
    op.create_index(
        "ix_tracking_runs_experiment_id_started", "tracking_runs", ["experiment_id", "started"]
    )
    for table, value in (("tracking_params", sa.Text), ("tracking_tags", sa.Text)):
        op.create_table(
            table,
            sa.Column("run_id", sa.String(32), nullable=False),
            sa.Column("key", sa.String(250), nullable=False),
            sa.Column("value", value, nullable=False),
            sa.PrimaryKeyConstraint("run_id", "key", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(["run_id"], ["tracking_runs.id"], name=f"fk_{table}_run_id"),
        )
    op.create_table(
        "tracking_metrics",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("value", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "key", "step", "timestamp", "value", name="pk_tracking_metrics"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["tracking_runs.id"], name="fk_tracking_metrics_run_id"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_latest",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("value", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_tracking_latest"),
        sa.ForeignKeyConstraint(["run_id"], ["tracking_runs.id"], name="fk_tracking_latest_run_id"),
    )
    op.create_table(
        "tracking_artifacts",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "path", name="pk_tracking_artifacts"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["tracking_runs.id"], name="fk_tracking_artifacts_run_id"
        ),
    )
