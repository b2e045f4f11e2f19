"""Blocks of points with their lowest and highest, so that a long metric is plotted without a look
at each. Metrics that are there get theirs when more is logged to them.
"""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0006"
down_revision = "tracking_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tracking_blocks",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("last", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.Double()),
        sa.Column("low_timestamp", sa.BigInteger()),
        sa.Column("low_step", sa.BigInteger()),
        sa.Column("high", sa.Double()),
        sa.Column("high_timestamp", sa.BigInteger()),
        sa.Column("high_step", sa.BigInteger()),
        sa.ForeignKeyConstraint(["run_id"], ["tracking_runs.id"]),
        sqlite_with_rowid=False,
    )
    op.add_column("tracking_newest", sa.Column("loose_from", sa.BigInteger(), nullable=True))
    op.add_column(
        "tracking_newest",
        sa.Column("loose", sa.BigInteger(), nullable=False, server_default="0"),
    )
