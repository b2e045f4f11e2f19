"""The newest points know their experiment, so that its runs can be ranked without a sort.

Params and tags can be found by their value; of a long one its beginning is indexed.
"""

import sqlalchemy as sa
from alembic import op

revision = "tracking_0004"
down_revision = "tracking_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tracking_newest",
        sa.Column("experiment_id", sa.String(32), nullable=False, server_default=""),
    )
    op.execute(
        "UPDATE tracking_newest SET experiment_id = (SELECT experiment_id FROM tracking_runs "
        "WHERE tracking_runs.id = tracking_newest.run_id)"
    )
    op.drop_index("ix_tracking_newest_key_nan_value", "tracking_newest")
    columns = ["experiment_id", "key", "nan", "value"]
    op.create_index(f"ix_tracking_newest_{'_'.join(columns)}", "tracking_newest", columns)
    for table in ("tracking_params", "tracking_tags"):
        beginning = sa.text("substr(value, 1, 100)")
        op.create_index(f"ix_{table}_key_value", table, ["key", beginning, "run_id"])
