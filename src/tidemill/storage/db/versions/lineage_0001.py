"""Edges between references."""

import sqlalchemy as sa
from alembic import op

revision = "lineage_0001"
down_revision = None
branch_labels = ("lineage",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lineage_edges",
        sa.Column("source", sa.String(600), nullable=False),
        sa.Column("target", sa.String(600), nullable=False),
        sa.Column("relation", sa.String(80), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "target", "relation", name="pk_lineage_edges"),
    )
    op.create_index("ix_lineage_edges_target", "lineage_edges", ["target"])
