"""The datasets' tables. A file stands in the versions from `added` to before `removed`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    or_,
    select,
    update,
)

from tidemill.core.contract import Contract
from tidemill.datasets.records import DataFile, DatasetVersion
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record

versions = Table(
    "datasets_versions",
    metadata,
    Column("dataset", String(250), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("version", String(64), nullable=False),
    Column("parent", String(64)),
    Column("files", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("contract", String(64)),
    Column("created", Moment, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("message", Text, nullable=False),
    Index(None, "version"),
)
files = Table(
    "datasets_files",
    metadata,
    Column("dataset", String(250), primary_key=True),
    Column("added", Integer, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("removed", Integer),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("name", String(1000), nullable=False),
    Column("since", Moment),
    Column("until", Moment),
)
contracts = Table(
    "datasets_contracts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("contract", Record(Contract), nullable=False),
)
seen = Table(
    "datasets_seen",
    metadata,
    Column("dataset", String(250), primary_key=True),
    Column("path", String(1000), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("digest", String(64)),
    Column("contract", String(64)),
)
_FILE = [files.c[name] for name in DataFile.__struct_fields__]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was when a source was last looked at.

    Attributes:
        digest: What it was stored as; nothing where it was refused.
        contract: What it was held to.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str | None
    contract: str | None


def names(connection: Connection) -> list[str]:
    """Return the names of all datasets."""
    query = select(versions.c.dataset).distinct().order_by(versions.c.dataset)
    return list(connection.scalars(query))


def read_versions(
    connection: Connection, dataset: str, *, prefix: str = "", limit: int | None = None
) -> list[DatasetVersion]:
    """Return versions whose digest begins with a prefix, newest first."""
    query = select(versions).where(versions.c.dataset == dataset)
    if prefix:
        query = query.where(versions.c.version.startswith(prefix, autoescape=True))
    rows = connection.execute(query.order_by(versions.c.number.desc()).limit(limit)).all()
    numbers = [row.number for row in rows]
    added = _changes(connection, dataset, files.c.added, numbers)
    removed = _changes(connection, dataset, files.c.removed, numbers)
    rules = {d: _contract(connection, d) for d in {row.contract for row in rows}}
    return [
        DatasetVersion(
            **{k: v for k, v in row._mapping.items() if k != "contract"},
            contract=rules[row.contract],
            added=tuple(added.get(row.number, ())),
            removed=tuple(f.digest for f in removed.get(row.number, ())),
        )
        for row in rows
    ]


def read_files(
    connection: Connection,
    version: DatasetVersion,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[DataFile]:
    """Return the files of a version that may hold rows of a stretch of time."""
    where = [
        files.c.added <= version.number,
        or_(files.c.removed.is_(None), files.c.removed > version.number),
    ]
    if since is not None:
        where.append(or_(files.c.until.is_(None), files.c.until >= since))
    if until is not None:
        where.append(or_(files.c.since.is_(None), files.c.since < until))
    return _files(connection, version.dataset, *where)


def read_named(
    connection: Connection, version: DatasetVersion, named: Sequence[tuple[str, str]]
) -> list[DataFile]:
    """Return those files of a version that have one of some names and digests."""
    wanted = set(named)
    if not wanted:
        return []
    return [f for f in read_files(connection, version) if (f.name, f.digest) in wanted]


def add_version(
    connection: Connection, version: DatasetVersion, removed: Sequence[DataFile] = ()
) -> None:
    """Write a version, its new files, and the end of those that it takes away."""
    row = {c.name: getattr(version, c.name) for c in versions.c if c.name != "contract"}
    digest = None if version.contract is None else version.contract.digest
    if version.contract is not None and _contract(connection, digest) is None:
        connection.execute(insert(contracts), {"digest": digest, "contract": version.contract})
    connection.execute(insert(versions), row | {"contract": digest})
    if version.added:
        named = {"dataset": version.dataset, "added": version.number}
        connection.execute(
            insert(files),
            [
                named | {"place": place} | msgspec.structs.asdict(file)
                for place, file in enumerate(version.added)
            ],
        )
    for file in removed:
        # By name and digest: two files may hold the same bytes.
        connection.execute(
            update(files)
            .where(files.c.dataset == version.dataset, files.c.removed.is_(None))
            .where(files.c.digest == file.digest, files.c.name == file.name)
            .where(files.c.added < version.number)
            .values(removed=version.number)
        )


def read_seen(connection: Connection, dataset: str) -> dict[str, Seen]:
    """Return what was seen of a dataset's source, by path."""
    query = select(*(c for c in seen.c if c.name != "dataset")).where(seen.c.dataset == dataset)
    return {row.path: Seen(**row._mapping) for row in connection.execute(query)}


def set_seen(connection: Connection, dataset: str, entries: Sequence[Seen]) -> None:
    """Keep what was seen now."""
    for entry in entries:
        connection.execute(delete(seen).filter_by(dataset=dataset, path=entry.path))
    if entries:
        rows = [{"dataset": dataset} | msgspec.structs.asdict(entry) for entry in entries]
        connection.execute(insert(seen), rows)


def forget_seen(connection: Connection, dataset: str, paths: Sequence[str]) -> None:
    """Forget files that are gone."""
    for path in paths:
        connection.execute(delete(seen).filter_by(dataset=dataset, path=path))


def _files(connection: Connection, dataset: str, *where: object) -> list[DataFile]:
    query = select(*_FILE).where(files.c.dataset == dataset, *where)  # type: ignore[arg-type]
    rows = connection.execute(query.order_by(files.c.added, files.c.place))
    return [DataFile(**row._mapping) for row in rows]


def _changes(
    connection: Connection, dataset: str, number: Column[Any], numbers: Sequence[int]
) -> dict[int, list[DataFile]]:
    """Return the files that versions added or removed, by the version's number."""
    found: dict[int, list[DataFile]] = {}
    if not numbers:
        return found
    query = select(number.label("number"), *_FILE).where(files.c.dataset == dataset)
    query = query.where(number.between(min(numbers), max(numbers)))
    for row in connection.execute(query.order_by(files.c.added, files.c.place)):
        values = dict(row._mapping)
        found.setdefault(values.pop("number"), []).append(DataFile(**values))
    return found


def _contract(connection: Connection, digest: str | None) -> Contract | None:
    if digest is None:
        return None
    return connection.scalar(select(contracts.c.contract).where(contracts.c.digest == digest))
