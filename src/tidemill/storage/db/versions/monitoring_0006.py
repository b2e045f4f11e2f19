"""How many predictions and labels came in each hour of the last weeks."""

import sqlalchemy as sa
from alembic import op

revision = "monitoring_0006"
down_revision = "monitoring_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "monitoring_hours",
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("what", sa.String(20), nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("came", sa.Integer, nullable=False),
        sa.Column("newest", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "what", "hour", name="pk_monitoring_hours"),
    )
