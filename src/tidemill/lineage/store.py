"""The table of edges."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table

from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment

edges = Table(
    "lineage_edges",
    metadata,
    Column("source", String(600), primary_key=True),
    Column("target", String(600), primary_key=True),
    Column("relation", String(80), primary_key=True),
    Column("time", Moment, nullable=False),
    Index(None, "target"),
)
