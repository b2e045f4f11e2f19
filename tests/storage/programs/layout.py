"""Renews the text by which a new SQLite database is laid out, from the changes that lead to it.

Run it after a change is added: `python -m tests.storage.programs.layout`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tidemill.storage.db.migration import LAYOUT, layout, upgrade
from tidemill.storage.db.sqlite import Sqlite


def made_by_changes(path: Path) -> str:
    """Return what is said of a database that is made at a path, change by change."""
    backend = Sqlite(path)
    try:
        upgrade(backend.writers)
        with backend.readers.connect() as connection:
            return layout(connection)
    finally:
        backend.readers.dispose()
        backend.writers.dispose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        LAYOUT.write_text(made_by_changes(Path(folder) / "tidemill.db"), "utf-8")
