"""Writes to a database whose log cannot grow for a while. Prints what the requester is told."""

from __future__ import annotations

import logging
import resource
import sys
from pathlib import Path

from sqlalchemy import Connection, text

from tidemill.core.errors import TidemillError
from tidemill.storage.db.engine import Database


def main(folder: Path) -> None:
    logging.disable()
    db = Database.open(f"sqlite:///{folder}/tidemill.db")
    db.write(lambda c: c.execute(text("CREATE TABLE notes (words TEXT)")).close())
    add(db, 10)
    before = count(db)
    log = (folder / "tidemill.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (log + 6000, resource.RLIM_INFINITY))
    try:
        add(db, 100_000)
    except TidemillError as error:
        print(type(error).__name__)
    print(f"{before} before, {count(db)} then")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    add(db, 100_000)
    print(f"{count(db)} after")
    db.close()


def add(db: Database, size: int) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO notes (words) VALUES (:w)"), {"w": "x" * size})

    db.write(work)


def count(db: Database) -> int:
    with db.read() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM notes")) or 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
