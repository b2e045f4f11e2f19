"""Whose records a database holds."""

import sqlalchemy as sa
from alembic import op

revision = "homes_0001"
down_revision = None
branch_labels = ("homes",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "homes_identity",
        sa.Column("id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_homes_identity"),
    )
