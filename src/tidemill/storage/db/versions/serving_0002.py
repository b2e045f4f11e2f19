"""Several versions that answered before, where one was kept; looks at rollouts; shadows."""

import json

import sqlalchemy as sa
from alembic import op

revision = "serving_0002"
down_revision = "serving_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = sa.table(
        "serving_deployments", sa.column("endpoint", sa.String), sa.column("deployment", sa.Text)
    )
    connection = op.get_bind()
    for endpoint, text in connection.execute(sa.select(table)).all():
        deployment = json.loads(text)
        previous = deployment.pop("previous", None)
        deployment["history"] = [] if previous is None else [previous]
        connection.execute(
            sa.update(table)
            .where(table.c.endpoint == endpoint)
            .values(deployment=json.dumps(deployment))
        )
    op.create_table(
        "serving_looks",
        sa.Column("rollout", sa.String(32), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("look", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("rollout", "time", name="pk_serving_looks"),
    )
    op.create_table(
        "serving_shadows",
        sa.Column("endpoint", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "version", name="pk_serving_shadows"),
    )
