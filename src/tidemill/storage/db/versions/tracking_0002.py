"""Metrics as numbers, so that they can be compared and ordered; experiments with tags."""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0002"
down_revision = "tracking_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _experiments()
    _metrics()


def _experiments() -> None:
    op.add_column("tracking_experiments", sa.Column("artifact_location", sa.String(1000)))
    op.add_column(
        "tracking_experiments",
        sa.Column("updated", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.execute("UPDATE tracking_experiments SET updated = created")
    op.create_table(
        "tracking_experiment_tags",
        sa.Column("experiment_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "key", name="pk_tracking_experiment_tags"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["tracking_experiments.id"],
            name="fk_tracking_experiment_tags_experiment_id",
        ),
    )


def _metrics() -> None:
    op.create_table(
        "tracking_points",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("nan", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "key", "step", "timestamp", "value", "nan", name="pk_tracking_points"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["tracking_runs.id"], name="fk_tracking_points_run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_newest",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("nan", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_tracking_newest"),
        sa.ForeignKeyConstraint(["run_id"], ["tracking_runs.id"], name="fk_tracking_newest_run_id"),
    )
    infinity = "9e999" if op.get_bind().dialect.name == "sqlite" else "'Infinity'::float8"
    value = (
        f"CASE value WHEN 'nan' THEN 0 WHEN 'inf' THEN {infinity} WHEN '-inf' THEN -{infinity} "
        "ELSE CAST(value AS DOUBLE PRECISION) END"
    )
    for old, new in (
        ("tracking_metrics", "tracking_points"),
        ("tracking_latest", "tracking_newest"),
    ):
        op.execute(
            f"INSERT INTO {new} (run_id, key, step, timestamp, value, nan) "  # noqa: S608
            f"SELECT run_id, key, step, timestamp, {value}, value = 'nan' FROM {old}"
        )
        op.drop_table(old)
    op.create_index("ix_tracking_newest_key_nan_value", "tracking_newest", ["key", "nan", "value"])
