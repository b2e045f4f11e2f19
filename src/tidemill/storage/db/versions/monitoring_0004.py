"""For how many predictions a row stands, and the sums of each part that a version played."""

import sqlalchemy as sa
from alembic import op

revision = "monitoring_0004"
down_revision = "monitoring_0003"
branch_labels = None
depends_on = None

_KEY = ("endpoint", "model", "version", "role", "since")


def upgrade() -> None:
    op.add_column(
        "monitoring_rows", sa.Column("weight", sa.Float, nullable=False, server_default="1")
    )
    op.rename_table("monitoring_blocks", "monitoring_blocks_before")
    op.create_table(
        "monitoring_blocks",
        sa.Column("endpoint", sa.String(250), nullable=False),
        sa.Column("model", sa.String(250), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name="pk_monitoring_blocks_by_role"),
    )
    # What was kept before counted no shadows; whatever else a version was, it was seen.
    op.execute(
        "INSERT INTO monitoring_blocks (endpoint, model, version, role, since, until, state) "
        "SELECT endpoint, model, version, 'champion', since, until, state "
        "FROM monitoring_blocks_before"
    )
    op.drop_table("monitoring_blocks_before")
