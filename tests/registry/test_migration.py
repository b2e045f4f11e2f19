"""A registry of the first form is read after the upgrade, with nothing lost."""

from __future__ import annotations

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.catalogue import Catalogue
from tidemill.registry.service import Registry
from tidemill.storage.db.engine import Database
from tidemill.storage.db.migration import VERSIONS

RECORD = (
    '{"bundle":"b1","dataset":"dataset:d@1","task":"binary","flavor":"sklearn",'
    '"metrics":{"roc_auc":0.7,"f1":null},"tags":{"k":"v"},"description":"told"}'
)


def _old_registry(path: Path) -> None:
    scripts = ScriptDirectory(str(VERSIONS.parent), version_locations=[str(VERSIONS)])
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda rev, _: scripts._upgrade_revs("registry_0001", rev)},
        )
        with Operations.context(context):
            context.run_migrations()
        for statement in (
            """INSERT INTO registry_models VALUES ('delay', 5, 'old', '{"team":"air"}')""",
            "INSERT INTO registry_versions VALUES "
            f"('delay', 3, 6, 'user:me', 'r1', 'ready', '{RECORD}')",
            "INSERT INTO registry_aliases VALUES ('delay', 'champion', 3)",
        ):
            connection.exec_driver_sql(statement)
        assert connection.scalar(text("SELECT COUNT(*) FROM registry_versions")) == 1
    engine.dispose()


def test_an_old_registry_is_upgraded_without_loss(tmp_path: Path, clock: SimulatedClock) -> None:
    _old_registry(tmp_path / "tidemill.db")
    db = Database.open(f"sqlite:///{tmp_path}/tidemill.db")
    journal, lineage = Journal(db, clock, Ids(clock)), Lineage(db, clock)
    registry = Registry(db, journal, lineage, clock)
    version = registry.version(Ref("model", "delay", "champion"))
    assert (version.packed, version.description, version.tags) == ("b1", "told", {"k": "v"})
    assert (version.metrics["roc_auc"], version.stage, version.updated) == (
        0.7,
        "None",
        version.created,
    )
    assert registry.model("delay").tags == {"team": "air"}
    found = Catalogue(db, journal, lineage, clock).search_versions("tags.k = 'v'")
    assert [v.version for v in found.items] == [3]
    added = registry.register_files("delay", "models:/m-1", actor="user:me")
    assert added.version == 4
    db.close()
