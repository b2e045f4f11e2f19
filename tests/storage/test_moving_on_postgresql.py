"""Importing, exporting and erasing on a real PostgreSQL, as on SQLite."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from tests.exchange.small import Small
from tests.postgresql import Server

from tidemill.exchange.mlflow.opening import open_source
from tidemill.home import Home

ME = "user:me"


def test_moving_in_out_and_away(postgres: Server, tmp_path: Path) -> None:
    small = Small(tmp_path / "source")
    first, second = (small.add_run(name, points=20) for name in ("first", "second"))
    with Home.open(tmp_path / "here", database=postgres.make("here")) as here:
        for _ in range(2):
            source = open_source(str(small.path))
            imported = here.mlflow_import.run(source, actor=ME)
            source.close()
            assert imported.read == imported.here
        exported = here.exporter.write(tmp_path / "export")
        facts = here.journal.read()
    assert exported.rows["tables/tracking/points.parquet"] == 40
    with Home.open(tmp_path / "there", database=postgres.make("there")) as there:
        there.restorer.read(tmp_path / "export")
        assert there.journal.read() == facts
        assert there.exporter.write(tmp_path / "again") == exported
        there.tracking.delete_run(first, actor=ME)  # its fact has the next position
        assert there.journal.head() == facts[-1].position + 1
        for digest in there.blobs.digests():
            os.utime(there.blobs.locate(digest), (1, 1))
        trial = there.upkeep.collect(older_than=timedelta(0), actor=ME, dry=True)
        reclaimed = there.upkeep.collect(older_than=timedelta(0), actor=ME)
        assert (trial.runs, trial.blobs) == (reclaimed.runs, reclaimed.blobs) == ((first,), 1)
        assert [run.id for run in there.tracking.search(view="all").items] == [second]
    before, after = (
        sorted(p for p in (tmp_path / f).rglob("*.parquet")) for f in ("export", "again")
    )
    assert [p.read_bytes() for p in after] == [p.read_bytes() for p in before]
