"""The datasets' verbs: append, snapshot, scan, compare."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Connection

from tidemill.core import digest
from tidemill.core.clock import Clock
from tidemill.core.contract import Contract
from tidemill.core.errors import InvalidData, nearest
from tidemill.core.references import Ref
from tidemill.datasets import frames, store
from tidemill.datasets.errors import (
    ContractBroken,
    DatasetNotFound,
    DatasetVersionNotFound,
    NoData,
    UnreadableData,
)
from tidemill.datasets.events import DataAppended, DataRefused
from tidemill.datasets.profiles import profile
from tidemill.datasets.records import (
    ColumnChange,
    ColumnProfile,
    DataFile,
    DatasetDiff,
    DatasetVersion,
    Refusal,
    Snapshot,
    ValidationReport,
)
from tidemill.datasets.validation import validate
from tidemill.journal.service import Journal
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database

Source = pl.DataFrame | Path


class Datasets:
    """Versions of tables, as lists of immutable files.

    Args:
        db: The database.
        blobs: Where the files lie.
        journal: Where every change is written down, in the same transaction.
        clock: Dates everything.
    """

    def __init__(self, db: Database, blobs: BlobStore, journal: Journal, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._journal = journal
        self._clock = clock

    def names(self) -> list[str]:
        """Return the names of all datasets."""
        with self._db.read() as connection:
            return store.names(connection)

    def versions(self, dataset: str, limit: int | None = None) -> list[DatasetVersion]:
        """Return a dataset's versions, newest first.

        Raises:
            DatasetNotFound: No dataset has that name.
        """
        with self._db.read() as connection:
            found = store.read_versions(connection, dataset, limit=limit)
            if not found:
                raise self._no_dataset(connection, dataset)
            return found

    def version(self, ref: Ref) -> DatasetVersion:
        """Return the version that a reference names: a digest, the beginning of one, or the newest.

        Raises:
            DatasetNotFound: No dataset has that name.
            DatasetVersionNotFound: It has no such version, or several.
        """
        with self._db.read() as connection:
            found = store.read_versions(
                connection, ref.name, prefix=ref.version or "", limit=2 if ref.version else 1
            )
            if not found and not store.read_versions(connection, ref.name, limit=1):
                raise self._no_dataset(connection, ref.name)
        if len(found) != 1:
            how = "no version" if not found else "several versions"
            raise DatasetVersionNotFound(
                f"Dataset {ref.name!r} has {how} {ref.version!r}.",
                expected="the digest of a version, or enough of its beginning",
                hint=f"List them with: tidemill data versions {ref.name}",
            )
        return found[0]

    def latest(self, dataset: str) -> DatasetVersion | None:
        """Return the newest version, or nothing where there is none."""
        with self._db.read() as connection:
            found = store.read_versions(connection, dataset, limit=1)
        return found[0] if found else None

    def append(
        self,
        dataset: str,
        source: Source | Sequence[Path],
        *,
        actor: str,
        contract: Contract | None = None,
        cause: str | None = None,
        message: str = "",
    ) -> DatasetVersion:
        """Add a batch: all of it, or, when a part breaks the contract, nothing.

        Args:
            dataset: Made where it is new.
            source: A frame, a file, or several files.
            actor: Who adds it.
            contract: What it must keep.
            cause: The id of the fact that led to it.
            message: Why, in the actor's words.

        Raises:
            ContractBroken: The batch breaks the contract; the report is in the error.
            UnreadableData: A file cannot be read.
        """
        sources = [source] if isinstance(source, pl.DataFrame | Path) else list(source)
        added = []
        for each in sources:
            try:
                added.append(self._take(each, contract))
            except InvalidData as error:
                self._refuse(dataset, _name(each), error, actor, cause)
                raise
        return self._db.write(
            lambda c: self._grow(c, dataset, added, (), contract, actor, cause, message)
        )

    def snapshot(
        self,
        dataset: str,
        root: Path,
        pattern: str,
        *,
        actor: str,
        contract: Contract | None = None,
        cause: str | None = None,
        message: str = "",
    ) -> Snapshot:
        """Look at a source and take in what is new; a file that did not change is not read again.

        A file that breaks the contract is refused, once until it or the contract changes; the
        others are taken in.

        Args:
            dataset: Made where it is new.
            root: The project's folder.
            pattern: A path or glob below it.
            actor: Who looks.
            contract: What every file must keep.
            cause: The id of the fact that led to it.
            message: Why, in the actor's words.

        Raises:
            NoData: The pattern names no file, and the dataset has no version.
            UnreadableData: The pattern leaves the project's folder.
        """
        present = _files(root, pattern)
        with self._db.read() as connection:
            known = store.read_seen(connection, dataset)
        rules = None if contract is None else contract.digest
        added: list[DataFile] = []
        gone = [path for path in known if path not in present]
        removed = [d for path in gone if (d := known[path].digest)]
        entries: list[store.Seen] = []
        refused: list[Refusal] = []
        for name, path in present.items():
            before = known.get(name)
            if before is not None and _unchanged(path, before, rules):
                continue
            file: DataFile | None = None
            try:
                file = self._take(path, contract, name)
                added.append(file)
            except InvalidData as error:
                refused.append(self._refuse(dataset, name, error, actor, cause))
            if before is not None and before.digest is not None:
                removed.append(before.digest)
            entries.append(_seen(name, path, file, rules))
        if not present and not known:
            raise NoData(
                f"The source {pattern!r} of dataset {dataset!r} names no file.",
                expected=f"files below {root}",
                hint="Put data there, or mend `source` in tidemill.toml.",
            )

        def work(connection: Connection) -> DatasetVersion | None:
            store.set_seen(connection, dataset, entries)
            store.forget_seen(connection, dataset, gone)
            if not added and not removed:
                return None
            return self._grow(connection, dataset, added, removed, contract, actor, cause, message)

        if not entries and not gone:
            return Snapshot(version=None)
        return Snapshot(version=self._db.write(work), refused=tuple(refused))

    def files(
        self,
        version: DatasetVersion,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[DataFile]:
        """Return the files of a version that may hold rows of a stretch of time."""
        with self._db.read() as connection:
            return store.read_files(connection, version, since=since, until=until)

    def paths(self, version: DatasetVersion) -> list[Path]:
        """Return local paths of a version's files, which nobody may change."""
        return [self._blobs.locate(f.digest) for f in self.files(version)]

    def scan(
        self,
        version: DatasetVersion,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pl.LazyFrame:
        """Scan a version in place.

        Args:
            version: Which.
            since: Rows from this moment on only, by the contract's time column.
            until: Rows before this moment only.
        """
        chosen = self.files(version, since=since, until=until)
        if not chosen:
            chosen = self.files(version)[:1]
        frame = scan_files([self._blobs.locate(f.digest) for f in chosen], version.contract)
        time = version.contract.time if version.contract else None
        if time is not None and since is not None:
            frame = frame.filter(pl.col(time.name) >= since)
        if time is not None and until is not None:
            frame = frame.filter(pl.col(time.name) < until)
        return frame

    def profile(self, version: DatasetVersion) -> tuple[ColumnProfile, ...]:
        """Return the statistics of a version's columns."""
        return profile(self.scan(version), name=str(version.ref))

    def diff(self, before: DatasetVersion, after: DatasetVersion) -> DatasetDiff:
        """Compare two versions by files, rows, schema and statistics."""
        old, new = self.files(before), self.files(after)
        digests = {f.digest for f in old}, {f.digest for f in new}
        return DatasetDiff(
            before=str(before.ref),
            after=str(after.ref),
            files_added=len(digests[1] - digests[0]),
            files_removed=len(digests[0] - digests[1]),
            rows_before=before.rows,
            rows_after=after.rows,
            columns=tuple(_column_changes(self.profile(before), self.profile(after))),
        )

    def _no_dataset(self, connection: Connection, name: str) -> DatasetNotFound:
        return DatasetNotFound(
            f"There is no dataset {name!r}.", expected=nearest(name, store.names(connection))
        )

    def _take(self, source: Source, contract: Contract | None, name: str = "") -> DataFile:
        """Check a batch and store its bytes; nothing refers to them yet."""
        name = name or _name(source)
        if isinstance(source, Path):
            frame = frames.scan(source, contract)
        else:
            frame = source.lazy()
        if contract is not None:
            report = validate(frame, contract, now=self._clock.now(), name=name)
            if not report.passed:
                raise ContractBroken(name, report)
            rows = report.rows
        else:
            rows = frames.collect(frame.select(pl.len()), name).item()
            if rows == 0:
                raise UnreadableData(f"{name} has no rows.", expected="at least one")
        since, until = _stretch(frame, contract, name)
        if isinstance(source, Path) and source.suffix.lower() == ".parquet":
            blob = self._blobs.put(source)
        else:
            buffer = io.BytesIO()
            frames.collect(frame, name).write_parquet(buffer)
            blob = self._blobs.put(buffer.getvalue())
        return DataFile(
            digest=blob.digest, size=blob.size, rows=rows, name=name, since=since, until=until
        )

    def _refuse(
        self, dataset: str, name: str, error: InvalidData, actor: str, cause: str | None
    ) -> Refusal:
        report: ValidationReport | None = getattr(error, "report", None)
        event = DataRefused(dataset=dataset, source=name, reason=error.what, report=report)
        fact = self._journal.record(
            event, subject=Ref("dataset", dataset), actor=actor, cause=cause
        )
        return Refusal(name=name, reason=error.what, report=report, fact=fact.id)

    def _grow(
        self,
        connection: Connection,
        dataset: str,
        added: Sequence[DataFile],
        removed: Sequence[str],
        contract: Contract | None,
        actor: str,
        cause: str | None,
        message: str,
    ) -> DatasetVersion:
        found = store.read_versions(connection, dataset, limit=1)
        parent = found[0] if found else None
        lost = 0
        if parent is not None and removed:
            gone = set(removed)
            before = store.read_files(connection, parent)
            lost = sum(f.rows for f in before if f.digest in gone)
        rows = sum(f.rows for f in added)
        version = DatasetVersion(
            dataset=dataset,
            version=_version_digest(parent, added, removed),
            number=1 if parent is None else parent.number + 1,
            parent=None if parent is None else parent.version,
            files=(parent.files if parent else 0) + len(added) - len(removed),
            rows=(parent.rows if parent else 0) + rows - lost,
            added=tuple(added),
            removed=tuple(removed),
            contract=contract,
            created=self._clock.now(),
            actor=actor,
            message=message,
        )
        store.add_version(connection, version)
        event = DataAppended(
            dataset=dataset,
            version=version.version,
            number=version.number,
            files=len(added),
            rows=rows,
            total_rows=version.rows,
        )
        self._journal.append(connection, event, subject=version.ref, actor=actor, cause=cause)
        return version


def scan_files(paths: Sequence[Path], contract: Contract | None) -> pl.LazyFrame:
    """Scan stored files as one table whose columns have the contract's types."""
    frame = pl.scan_parquet(
        list(paths), missing_columns="insert", extra_columns="ignore", cast_options=_CASTS
    )
    if contract is None:
        return frame
    return frame.select(name for name in contract.names if name in frame.collect_schema())


_CASTS = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"],
    float_cast=["upcast", "downcast"],
    datetime_cast="nanosecond-downcast",
)


def _version_digest(
    parent: DatasetVersion | None, added: Sequence[DataFile], removed: Sequence[str]
) -> str:
    return digest.of_record(
        {
            "parent": None if parent is None else parent.version,
            "added": [f.digest for f in added],
            "removed": sorted(removed),
        }
    )


def _name(source: Source) -> str:
    return source.name if isinstance(source, Path) else "The frame"


def _files(root: Path, pattern: str) -> dict[str, Path]:
    """Return the files that a pattern names, by their path below the root."""
    folder = root.resolve()
    found = {}
    try:
        candidates = sorted(folder.glob(pattern))
    except (NotImplementedError, ValueError) as error:
        raise UnreadableData(
            f"The source {pattern!r} is not a path below the project.",
            expected="a relative path or glob, such as data/*.parquet",
        ) from error
    for path in candidates:
        if not path.resolve().is_relative_to(folder):
            raise UnreadableData(
                f"The source {pattern!r} leads to {path.resolve()}, outside the project.",
                expected=f"files below {folder}",
            )
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path
    return found


def _unchanged(path: Path, before: store.Seen, contract: str | None) -> bool:
    state = path.stat()
    same = (state.st_size, state.st_mtime_ns, state.st_ino) == (
        before.size,
        before.mtime_ns,
        before.inode,
    )
    # A refused file is looked at again when the contract has changed.
    return same and (before.digest is not None or before.contract == contract)


def _seen(name: str, path: Path, file: DataFile | None, contract: str | None) -> store.Seen:
    state = path.stat()
    return store.Seen(
        path=name,
        size=state.st_size,
        mtime_ns=state.st_mtime_ns,
        inode=state.st_ino,
        digest=None if file is None else file.digest,
        contract=contract,
    )


def _stretch(
    frame: pl.LazyFrame, contract: Contract | None, name: str
) -> tuple[datetime | None, datetime | None]:
    time = contract.time if contract else None
    if time is None or time.type != "datetime":
        return None, None
    column = pl.col(time.name).dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    ends = frame.select(since=column.min(), until=column.max())
    since, until = frames.collect(ends, name).row(0)
    return since, until


def _column_changes(
    before: Sequence[ColumnProfile], after: Sequence[ColumnProfile]
) -> list[ColumnChange]:
    old, new = {p.name: p for p in before}, {p.name: p for p in after}
    changes = [
        ColumnChange(column=n, change="added", before="", after=p.type)
        for n, p in new.items()
        if n not in old
    ]
    for name, past in old.items():
        now = new.get(name)
        if now is None:
            changes.append(ColumnChange(column=name, change="removed", before=past.type, after=""))
        elif now.type != past.type:
            changes.append(
                ColumnChange(column=name, change="type", before=past.type, after=now.type)
            )
        elif (said := _said(past)) != (says := _said(now)):
            changes.append(ColumnChange(column=name, change="statistics", before=said, after=says))
    return changes


def _said(profile_: ColumnProfile) -> str:
    mean = "" if profile_.mean is None else f"mean {profile_.mean:.4g}, "
    return f"{mean}{profile_.missing:.1%} missing"
