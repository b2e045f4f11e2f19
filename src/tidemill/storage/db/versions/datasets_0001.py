"""Dataset versions, their files, and the files that were seen in sources."""

import sqlalchemy as sa
from alembic import op

revision = "datasets_0001"
down_revision = None
branch_labels = ("datasets",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets_versions",
        sa.Column("dataset", sa.String(250), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("parent", sa.String(64), nullable=True),
        sa.Column("files", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("contract", sa.String(64), nullable=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("dataset", "number", name="pk_datasets_versions"),
    )
    op.create_index("ix_datasets_versions_version", "datasets_versions", ["version"])
    op.create_table(
        "datasets_files",
        sa.Column("dataset", sa.String(250), nullable=False),
        sa.Column("added", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("removed", sa.Integer, nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(1000), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=True),
        sa.Column("until", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("dataset", "added", "place", name="pk_datasets_files"),
    )
    op.create_table(
        "datasets_contracts",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("contract", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_datasets_contracts"),
    )
    op.create_table(
        "datasets_seen",
        sa.Column("dataset", sa.String(250), nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=True),
        sa.Column("contract", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("dataset", "path", name="pk_datasets_seen"),
    )
