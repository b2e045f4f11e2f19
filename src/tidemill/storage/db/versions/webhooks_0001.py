"""Webhooks, and what is to be sent to them."""

import sqlalchemy as sa
from alembic import op

revision = "webhooks_0001"
down_revision = None
branch_labels = ("webhooks",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhooks_hooks",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("after", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks_hooks"),
    )
    op.create_table(
        "webhooks_deliveries",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("hook", sa.String(32), nullable=False),
        sa.Column("fact", sa.BigInteger, nullable=False),
        sa.Column("event", sa.String(80), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("answered", sa.Integer),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks_deliveries"),
        sa.ForeignKeyConstraint(
            ["hook"], ["webhooks_hooks.id"], name="fk_webhooks_deliveries_hook"
        ),
        sa.UniqueConstraint("hook", "fact", name="uq_webhooks_deliveries_hook_fact"),
    )
    op.create_index(
        "ix_webhooks_deliveries_hook_status_due", "webhooks_deliveries", ["hook", "status", "due"]
    )
