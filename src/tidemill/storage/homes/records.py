"""What a home says of itself: `home.json`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tidemill.storage.folders import sync_folder
from tidemill.storage.homes.errors import HomeTooNew

FORMAT = 2
"""The newest layout. A home that names a database has it, so that an older Tidemill, which would
not look there, refuses the home; one that keeps a file of SQLite stays at 1."""


class HomeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `home.json` says.

    Attributes:
        format: The version of the home's layout.
        project: The project's folder, where it has one.
        database: The URL of the database that was named, without its password; nothing where the
            records are in a file of the home.
        id: What that database knows this home by.
        claimed: Whether that database has been seen to know it: where it does not any more, it was
            emptied.
    """

    format: int
    project: str | None = None
    database: str | None = None
    id: str | None = None
    claimed: bool = False


def read_record(home: Path) -> HomeRecord:
    """Return what a home says of itself, or the record of one that is not made yet.

    Raises:
        HomeTooNew: It was made by a newer Tidemill.
    """
    try:
        record = msgspec.json.decode((home / "home.json").read_bytes(), type=HomeRecord)
    except FileNotFoundError:
        return HomeRecord(format=1)
    if record.format > FORMAT:
        raise HomeTooNew(
            f"The home {home} has format {record.format}.",
            expected=f"at most {FORMAT}",
            hint="It was opened by a newer version: upgrade with `pip install -U tidemill`.",
        )
    return record


def write_record(home: Path, record: HomeRecord) -> None:
    """Replace what a home says of itself, whole and on disk."""
    file = home / "home.json"
    draft = file.with_suffix(".part")
    with draft.open("wb") as out:
        out.write(msgspec.json.encode(record))
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    sync_folder(home)
