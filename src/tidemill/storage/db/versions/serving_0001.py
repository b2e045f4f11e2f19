"""What stands behind endpoints, and rollouts."""

import sqlalchemy as sa
from alembic import op

revision = "serving_0001"
down_revision = None
branch_labels = ("serving",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "serving_deployments",
        sa.Column("endpoint", sa.String(128), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name="pk_serving_deployments"),
    )
    op.create_table(
        "serving_rollouts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("endpoint", sa.String(128), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("rollout", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_serving_rollouts"),
    )
    op.create_index(
        "ix_serving_rollouts_endpoint_status", "serving_rollouts", ["endpoint", "status"]
    )
