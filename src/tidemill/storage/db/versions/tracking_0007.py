"""An experiment's runs lie in the order in which they are listed, those of one moment included."""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0007"
down_revision = "tracking_0006"
branch_labels = None
depends_on = None

_BEFORE = "ix_tracking_runs_experiment_id_started"


def upgrade() -> None:
    order: list[str | sa.TextClause] = ["experiment_id", sa.text("started DESC"), "id"]
    op.drop_index(_BEFORE, "tracking_runs")
    op.create_index(f"{_BEFORE}_id", "tracking_runs", order)
