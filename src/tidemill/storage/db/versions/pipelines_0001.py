"""Pipeline runs, their steps, and the values that may be used again."""

import sqlalchemy as sa
from alembic import op

revision = "pipelines_0001"
down_revision = None
branch_labels = ("pipelines",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pipelines_runs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("error", sa.Text, nullable=True),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pipelines_runs"),
    )
    op.create_index("ix_pipelines_runs_status", "pipelines_runs", ["status"])
    op.create_table(
        "pipelines_steps",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=True),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("key", sa.String(64), nullable=True),
        sa.Column("value", sa.Text, nullable=True),
        sa.Column("error", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("run_id", "place", name="pk_pipelines_steps"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["pipelines_runs.id"], name="fk_pipelines_steps_run_id"
        ),
    )
    op.create_table(
        "pipelines_values",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_pipelines_values"),
    )
