"""The tables that all rooms declare."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from sqlalchemy import MetaData

import tidemill
from tidemill.storage.db.schema import metadata


@pytest.fixture(scope="session")
def declared() -> MetaData:
    """The tables that all rooms declare."""
    package = Path(tidemill.__file__).parent
    for store in package.rglob("store.py"):
        importlib.import_module(".".join(("tidemill", *store.relative_to(package).parts))[:-3])
    return metadata
