"""Finds out what a home is: its project, and the database that it keeps its records in."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tidemill.core.policy.errors import BadPolicy
from tidemill.core.policy.reader import read_policy
from tidemill.core.settings import Value
from tidemill.storage.homes.database import FILE
from tidemill.storage.homes.records import HomeRecord, read_record, write_record

POLICY = "tidemill.toml"


def home_record(path: Path, project: Path | None) -> HomeRecord:
    """Return what `home.json` says, written where it is new or the project is another."""
    known = read_record(path)
    if project is None and known.project is not None:
        return known
    if project is None and (path.parent / POLICY).exists():
        project = path.parent
    record = msgspec.structs.replace(
        known, project=None if project is None else str(project.absolute())
    )
    new = not (path / "home.json").exists()
    if new:
        # A home inside a repository is no code, and holds what is nobody else's business.
        (path / ".gitignore").write_text("*\n", "utf-8")
    if new or record != known:
        write_record(path, record)
    return record


def named_database(path: Path, record: HomeRecord) -> str | None:
    """Return the database that the environment or the project's settings name, where one does."""
    from tidemill.core.settings import resolve_one

    policy = (path.parent if record.project is None else Path(record.project)) / POLICY
    file: dict[str, Value] = {}
    try:
        file = read_policy(policy.read_bytes(), filename=str(policy)).settings
    except OSError:
        pass
    except BadPolicy:
        # What a home remembers counts even while its policy is being mended.
        if record.database is None and not (path / FILE).exists():
            raise
    found = resolve_one("database", environment=os.environ, file=file, filename=str(policy))
    return None if found.origin == "default" else str(found.value)
