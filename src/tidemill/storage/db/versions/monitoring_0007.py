"""How versions fared in rollouts, kept up to date by the rows that were written since a look."""

import sqlalchemy as sa
from alembic import op

revision = "monitoring_0007"
down_revision = "monitoring_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("monitoring_rows", sa.Column("touched", sa.BigInteger))
    # Most rows belong to no rollout, and need no place in it.
    op.create_index(
        "ix_monitoring_rows_touched",
        "monitoring_rows",
        ["endpoint", "touched"],
        sqlite_where=sa.text("touched IS NOT NULL"),
        postgresql_where=sa.text("touched IS NOT NULL"),
    )
    op.create_table(
        "monitoring_accounts",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("arm", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_monitoring_accounts"),
    )
    op.create_table(
        "monitoring_counted",
        sa.Column("account", sa.Integer, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account", "time", "name", name="pk_monitoring_counted"),
        sqlite_with_rowid=False,
    )
