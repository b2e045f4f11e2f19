"""Labels that came before their prediction was seen."""

import sqlalchemy as sa
from alembic import op

revision = "monitoring_0002"
down_revision = "monitoring_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "monitoring_pending",
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("by", sa.String(3), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("label", sa.LargeBinary, nullable=False),
        sa.Column("arrived", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "by", "name", name="pk_monitoring_pending"),
    )
