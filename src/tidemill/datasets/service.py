"""The datasets' verbs: append, snapshot, scan, compare."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Connection

from tidemill.core import digest
from tidemill.core.clock import Clock
from tidemill.core.contract import Column, Contract
from tidemill.core.errors import InvalidData, nearest
from tidemill.core.references import Ref
from tidemill.datasets import frames, store
from tidemill.datasets.conversion import CASTS, converted, fits, scan_schema
from tidemill.datasets.differences import column_changes
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
    ColumnProfile,
    DataFile,
    DatasetDiff,
    DatasetVersion,
    Refusal,
    Snapshot,
    ValidationReport,
)
from tidemill.datasets.sources import matching_files, seen_as, state_of, unchanged, vanished
from tidemill.datasets.validation import Examination, examine
from tidemill.journal.service import Journal
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.records import Blob
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
        present = matching_files(root, pattern)
        with self._db.read() as connection:
            known = store.read_seen(connection, dataset)
        if not present and not known:
            raise NoData(
                f"The source {pattern!r} of dataset {dataset!r} names no file.",
                expected=f"files below {root}",
                hint="Put data there, or mend `source` in tidemill.toml.",
            )
        rules = None if contract is None else contract.digest
        added: list[DataFile] = []
        entries: list[store.Seen] = []
        refused: list[Refusal] = []
        for name, (path, state) in present.items():
            before = known.get(name)
            if before is not None and unchanged(state, before, rules):
                continue
            file: DataFile | None = None
            try:
                file = self._take(path, contract, name)
                added.append(file)
            except InvalidData as error:
                refused.append(self._refuse(dataset, name, error, actor, cause))
            entries.append(seen_as(name, state, file, rules))
        gone = [path for path in known if path not in present]
        changed = [*gone, *(entry.path for entry in entries)]
        removed = [(p, d) for p in changed if p in known and (d := known[p].digest) is not None]
        if not changed:
            return Snapshot(version=None)

        def work(connection: Connection) -> DatasetVersion | None:
            store.set_seen(connection, dataset, entries)
            store.forget_seen(connection, dataset, gone)
            if not added and not removed:
                return None
            return self._grow(connection, dataset, added, removed, contract, actor, cause, message)

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
            frame = frame.filter(pl.col(time.name) >= _as(time, since))
        if time is not None and until is not None:
            frame = frame.filter(pl.col(time.name) < _as(time, until))
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
            columns=tuple(column_changes(self.profile(before), self.profile(after))),
        )

    def _no_dataset(self, connection: Connection, name: str) -> DatasetNotFound:
        return DatasetNotFound(
            f"There is no dataset {name!r}.", expected=nearest(name, store.names(connection))
        )

    def _take(self, source: Source, contract: Contract | None, name: str = "") -> DataFile:
        """Check a batch and store its bytes; nothing refers to them yet."""
        name = name or _name(source)
        if isinstance(source, pl.DataFrame):
            frame = source.lazy()
            seen = self._examined(frame, contract, name)
            blob = self._blobs.put(_as_parquet(frame, contract, name))
        else:
            before = state_of(source, name)
            frame = frames.scan(source, contract)
            seen = self._examined(frame, contract, name)
            blob = self._stored(source, frame, contract, name)
            if state_of(source, name) != before:
                raise UnreadableData(
                    f"{name} changed while it was read.",
                    expected="a file that is whole",
                    hint="Write it under another name first, and rename it when it is whole.",
                )
        return DataFile(
            digest=blob.digest,
            size=blob.size,
            rows=seen.report.rows,
            name=name,
            since=seen.since,
            until=seen.until,
        )

    def _examined(self, frame: pl.LazyFrame, contract: Contract | None, name: str) -> Examination:
        if contract is not None:
            seen = examine(frame, contract, now=self._clock.now(), name=name)
            if not seen.report.passed:
                raise ContractBroken(name, seen.report)
            return seen
        rows = frames.collect(frame.select(pl.len()), name).item()
        if rows == 0:
            raise UnreadableData(f"{name} has no rows.", expected="at least one")
        return Examination(report=ValidationReport(rows=rows, columns=0))

    def _stored(
        self, path: Path, frame: pl.LazyFrame, contract: Contract | None, name: str
    ) -> Blob:
        """Store a file's own bytes where they can be scanned as they are, else a conversion."""
        as_given = contract is None or fits(frames.schema_of(frame, name), contract)
        if frames.is_parquet(path) and as_given:
            try:
                return self._blobs.put(path)
            except FileNotFoundError as error:
                raise vanished(name) from error
        if contract is not None:
            frame = converted(frame, contract)
        with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
            draft = Path(folder) / "draft.parquet"
            frames.write(frame, draft, name)
            return self._blobs.put(draft)

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
        removed: Sequence[tuple[str, str]],
        contract: Contract | None,
        actor: str,
        cause: str | None,
        message: str,
    ) -> DatasetVersion:
        found = store.read_versions(connection, dataset, limit=1)
        parent = found[0] if found else None
        lost = [] if parent is None else store.read_named(connection, parent, removed)
        rows = sum(f.rows for f in added)
        version = DatasetVersion(
            dataset=dataset,
            version=_version_digest(parent, added, lost),
            number=1 if parent is None else parent.number + 1,
            parent=None if parent is None else parent.version,
            files=(parent.files if parent else 0) + len(added) - len(lost),
            rows=(parent.rows if parent else 0) + rows - sum(f.rows for f in lost),
            added=tuple(added),
            removed=tuple(f.digest for f in lost),
            contract=contract,
            created=self._clock.now(),
            actor=actor,
            message=message,
        )
        store.add_version(connection, version, lost)
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
    return pl.scan_parquet(
        list(paths),
        schema=None if contract is None else scan_schema(contract),
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=CASTS,
    )


def _as(time: Column, moment: datetime) -> datetime | date:
    """Return a moment as the time column's type; a day is there from its midnight on."""
    return moment if time.type == "datetime" else moment.date()


def _as_parquet(frame: pl.LazyFrame, contract: Contract | None, name: str) -> bytes:
    rows = frame if contract is None else converted(frame, contract)
    buffer = io.BytesIO()
    frames.collect(rows, name).write_parquet(buffer)
    return buffer.getvalue()


def _version_digest(
    parent: DatasetVersion | None, added: Sequence[DataFile], removed: Sequence[DataFile]
) -> str:
    return digest.of_record(
        {
            "parent": None if parent is None else parent.version,
            "added": [f.digest for f in added],
            "removed": sorted(f.digest for f in removed),
        }
    )


def _name(source: Source) -> str:
    return source.name if isinstance(source, Path) else "The frame"
