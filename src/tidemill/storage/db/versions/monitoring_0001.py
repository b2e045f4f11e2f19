"""Watched predictions of the last windows, how far the monitor came, and what it saw."""

import sqlalchemy as sa
from alembic import op

revision = "monitoring_0001"
down_revision = None
branch_labels = ("monitoring",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "monitoring_state",
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name="pk_monitoring_state"),
    )
    op.create_table(
        "monitoring_rows",
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(500), nullable=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("latency_us", sa.Integer, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("label", sa.LargeBinary, nullable=True),
        sa.Column("arrived", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "id", name="pk_monitoring_rows"),
    )
    op.create_index("ix_monitoring_rows_endpoint_time", "monitoring_rows", ["endpoint", "time"])
    op.create_index("ix_monitoring_rows_endpoint_key", "monitoring_rows", ["endpoint", "key"])
    op.create_table(
        "monitoring_windows",
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "since", name="pk_monitoring_windows"),
    )
