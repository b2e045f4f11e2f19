"""Erases what was deleted long ago, then takes away the stored files that nothing names.

In this order, and each part whole or not at all: rows first, files later. Whoever is killed in
between leaves files that nothing names, and the next collection takes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Table

from tidemill.core import digest as digests
from tidemill.core.clock import Clock
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.pipelines.erasure import forget
from tidemill.registry.needs import needed
from tidemill.storage.blobs.collection import GRACE, Collectable, Collected, collect
from tidemill.storage.db.engine import Database
from tidemill.storage.living import living
from tidemill.tracking.erasure import Erased, Erasure
from tidemill.upkeep.events import SpaceReclaimed
from tidemill.upkeep.records import Reclaimed


class Upkeep:
    """Permanent deletion.

    Args:
        db: The database.
        tables: Every table whose rows keep alive what they mention.
        blobs: The stored files.
        erasure: Erases experiments, runs and logged models.
        journal: Where what was given back is written down.
        clock: Says how long ago something was deleted.
        machine: Says how old files are: the machine's clock, never a simulated one.
        bundles: Where bundles are unpacked, a folder each.
        runs: Where runs have their logs and scratch files, a folder each.
    """

    def __init__(
        self,
        *,
        db: Database,
        tables: Sequence[Table],
        blobs: Collectable,
        erasure: Erasure,
        journal: Journal,
        clock: Clock,
        machine: Clock,
        bundles: Path,
        runs: Path,
    ) -> None:
        self._db = db
        self._tables = tables
        self._blobs = blobs
        self._erasure = erasure
        self._journal = journal
        self._clock = clock
        self._machine = machine
        self._bundles = bundles
        self._runs = runs

    def collect(
        self,
        *,
        older_than: timedelta,
        actor: str,
        dry: bool = False,
        grace: timedelta = GRACE,
    ) -> Reclaimed:
        """Erase what was deleted long ago and take away what nothing needs.

        Args:
            older_than: How long ago it must have been deleted.
            actor: Who does it.
            dry: Whether only to look.
            grace: How long stored files stay in any case, since who stores one names it later.

        Raises:
            BlobDamaged: The list of a stored folder's files cannot be read; no file was removed.
        """
        before = self._clock.now() - older_than
        if dry:
            erased, kept, named = self._tried(before, actor)
        else:
            erased, kept = self._erase(before, actor)
            with self._db.read() as connection:
                named = self._named(connection)
        collected = collect(self._blobs, named, clock=self._machine, grace=grace, dry=dry)
        return Reclaimed(
            dry=dry,
            experiments=erased.experiments,
            runs=erased.runs,
            models=erased.models,
            kept=kept,
            blobs=collected.removed,
            blob_bytes=collected.freed,
            young=collected.young,
            folders=self._sweep(named, grace, dry=dry),
            database_bytes=0 if dry else self._give_back(collected, actor),
        )

    def _erase(self, before: datetime, actor: str) -> tuple[Erased, tuple[str, ...]]:
        """Erase some at a time, so that other writes never wait for long."""
        whole, kept = Erased(), set()
        while True:
            erased, spared = self._db.write(lambda c: self._erase_some(c, before, actor))
            whole += erased
            kept |= spared
            if not erased:
                return whole, tuple(sorted(kept))

    def _erase_some(
        self, connection: Connection, before: datetime, actor: str
    ) -> tuple[Erased, set[str]]:
        needs = needed(connection)
        erased = self._erasure.some(
            connection, before, actor=actor, keep_runs=needs.runs, keep_models=needs.models
        )
        forget(connection, erased.runs, before=before)
        return erased, self._erasure.spared(
            connection, before, keep_runs=needs.runs, keep_models=needs.models
        )

    def _tried(self, before: datetime, actor: str) -> tuple[Erased, tuple[str, ...], set[str]]:
        """Erase in a transaction that is given up, to see what would be left."""

        def work(connection: Connection) -> None:
            whole, kept = Erased(), set()
            while True:
                erased, spared = self._erase_some(connection, before, actor)
                whole += erased
                kept |= spared
                if not erased:
                    raise _GivenUp(whole, tuple(sorted(kept)), self._named(connection))

        try:
            self._db.write(work)
        except _GivenUp as trial:
            return trial.erased, trial.kept, trial.named
        raise AssertionError("a trial ended without being given up")

    def _named(self, connection: Connection) -> set[str]:
        """Return the digests of everything that a row mentions, and of the files in folders."""
        bundles = needed(connection).bundles
        return living(connection, self._tables, self._blobs, folders=bundles)

    def _sweep(self, named: set[str], grace: timedelta, *, dry: bool) -> int:
        """Remove unpacked folders of what nothing names, and what runs that are gone left."""
        moment = (self._machine.now() - grace).timestamp()
        stale = [
            folder
            for parent in (self._bundles, self._runs / "code")
            for folder in _folders(parent)
            if digests.is_digest(folder.name) and folder.name not in named
        ]
        stale += self._lost_runs()
        old = [folder for folder in stale if folder.stat().st_mtime < moment]
        if not dry:
            for folder in old:
                shutil.rmtree(folder, ignore_errors=True)
        return len(old)

    def _lost_runs(self) -> list[Path]:
        folders = {f.name: f for f in _folders(self._runs) if len(f.name) == 32}
        with self._db.read() as connection:
            known = self._erasure.known(connection, list(folders))
        return [folder for name, folder in folders.items() if name not in known]

    def _give_back(self, collected: Collected, actor: str) -> int:
        if collected.freed:
            event = SpaceReclaimed(blobs=collected.removed, bytes=collected.freed)
            self._journal.record(event, subject=Ref("blob", "unnamed"), actor=actor)
        return self._db.reclaim()


class _GivenUp(Exception):
    """Ends a trial: the writer rolls back whatever raises."""

    def __init__(self, erased: Erased, kept: tuple[str, ...], named: set[str]) -> None:
        super().__init__()
        self.erased = erased
        self.kept = kept
        self.named = named


def _folders(parent: Path) -> list[Path]:
    return [f for f in sorted(parent.iterdir()) if f.is_dir()] if parent.is_dir() else []
