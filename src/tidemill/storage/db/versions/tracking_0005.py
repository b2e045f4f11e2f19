"""When experiments, runs and logged models were deleted, so that what is long gone can be erased.

What was deleted before is dated from the journal; a logged model and an experiment did not change
after their deletion, so their last change is its date.
"""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0005"
down_revision = "tracking_0004"
branch_labels = None
depends_on = None

_FACT = (
    "SELECT MAX(time) FROM journal_facts "
    "WHERE type = 'run.deleted' AND subject = 'run:' || tracking_runs.id"
)
_EXPERIMENT = (
    "SELECT updated FROM tracking_experiments WHERE lifecycle = 'deleted' "
    "AND tracking_experiments.id = tracking_runs.experiment_id"
)


def upgrade() -> None:
    for table in ("tracking_experiments", "tracking_runs", "tracking_models"):
        op.add_column(table, sa.Column("deleted", sa.BigInteger(), nullable=True))
        op.create_index(f"ix_{table}_deleted", table, ["deleted"])
    for table in ("tracking_experiments", "tracking_models"):
        op.execute(f"UPDATE {table} SET deleted = updated WHERE lifecycle = 'deleted'")  # noqa: S608
    known = [f"({_FACT})"] if sa.inspect(op.get_bind()).has_table("journal_facts") else []
    moment = ", ".join([*known, f"({_EXPERIMENT})", "started"])
    op.execute(f"UPDATE tracking_runs SET deleted = COALESCE({moment}) WHERE lifecycle = 'deleted'")  # noqa: S608
