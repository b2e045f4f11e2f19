"""Writes requests of three rows from several threads, and says which were acknowledged.

Meant to be killed. Each acknowledged request is a line on standard output.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import partial

from sqlalchemy import Connection, text

from tidemill.storage.db.engine import Database


def main(url: str) -> None:
    db = Database.open(url)
    db.write(lambda c: c.execute(text("CREATE TABLE rows (request TEXT, part INTEGER)")).close())
    for thread in range(4):
        threading.Thread(target=write_for_ever, args=(db, thread)).start()


def write_for_ever(db: Database, thread: int) -> None:
    number = 0
    while True:
        name = f"{thread}-{number}"
        db.write(partial(add, name))
        os.write(1, f"{name}\n".encode())
        number += 1


def add(name: str, connection: Connection) -> None:
    for part in range(3):
        connection.execute(
            text("INSERT INTO rows VALUES (:request, :part)"), {"request": name, "part": part}
        )


if __name__ == "__main__":
    main(sys.argv[1])
