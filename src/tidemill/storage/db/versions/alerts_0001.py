"""Alerts, incidents, silences, and the messages on their way."""

import sqlalchemy as sa
from alembic import op

revision = "alerts_0001"
down_revision = None
branch_labels = ("alerts",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts_conditions",
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("condition", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_alerts_conditions"),
    )
    op.create_table(
        "alerts_alerts",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("incident", sa.Integer, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("resolved", sa.BigInteger),
        sa.Column("alert", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_alerts_alerts"),
    )
    op.create_index("ix_alerts_alerts_status_resolved", "alerts_alerts", ["status", "resolved"])
    op.create_index("ix_alerts_alerts_incident", "alerts_alerts", ["incident"])
    op.create_table(
        "alerts_incidents",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("resolved", sa.BigInteger),
        sa.Column("incident", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_alerts_incidents"),
    )
    op.create_index(
        "ix_alerts_incidents_status_resolved", "alerts_incidents", ["status", "resolved"]
    )
    op.create_table(
        "alerts_silences",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("silence", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_alerts_silences"),
    )
    op.create_index("ix_alerts_silences_until", "alerts_silences", ["until"])
    op.create_table(
        "alerts_outbox",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("sink", sa.String(100), nullable=False),
        sa.Column("alert", sa.Integer, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("delivery", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts_outbox"),
    )
    op.create_index("ix_alerts_outbox_status_sink_due", "alerts_outbox", ["status", "sink", "due"])
    op.create_index("ix_alerts_outbox_alert", "alerts_outbox", ["alert"])
