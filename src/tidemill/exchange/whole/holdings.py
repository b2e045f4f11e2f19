"""Where everything lies that a home keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What an export is written from, and taken into.

    Attributes:
        db: The database.
        tables: The tables of all rooms, those first that others point to.
        blobs: The stored files.
        predictions: The letterbox.
        runs: Where runs have their logs.
    """

    db: Database
    tables: Sequence[Table]
    blobs: BlobStore
    predictions: Path
    runs: Path
