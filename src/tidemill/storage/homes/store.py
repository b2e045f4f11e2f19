"""The table that says whose records a database holds."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from tidemill.storage.db.schema import metadata

identity = Table("homes_identity", metadata, Column("id", String(32), primary_key=True))
"""One row in a database that a home was told of by its URL; none in a home's own file."""
