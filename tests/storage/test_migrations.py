"""The tables that migrations make are those that the rooms declare."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, text

import tidemill
from tidemill.core.errors import Conflict
from tidemill.storage.db.engine import Database
from tidemill.storage.db.errors import DatabaseTooNew
from tidemill.storage.db.migration import VERSIONS, heads

ROOMS = sorted(path.parent.name for path in Path(tidemill.__file__).parent.rglob("store.py"))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings(
    "ignore:autogenerate skipping metadata-specified expression-based index"
)
def test_migrations_and_declarations_agree(db: Database, declared: MetaData) -> None:
    with db.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, declared) == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_keeps_to_its_prefix_and_has_a_branch(room: str, declared: MetaData) -> None:
    own = [t for t in declared.tables if t.startswith(f"{room}_")]
    assert own, f"no table is named {room}_…"
    assert any(head.startswith(f"{room}_") for head in heads())


def test_every_table_belongs_to_a_room(declared: MetaData) -> None:
    assert [t for t in declared.tables if t.partition("_")[0] not in ROOMS] == []


def test_every_migration_says_what_it_does() -> None:
    for path in VERSIONS.glob("*.py"):
        assert path.read_text().startswith('"""'), path.name
        assert f'revision = "{path.stem}"' in path.read_text(), path.name


def test_a_newer_home_is_refused_with_the_way_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tidemill.db"
    db = Database.open(url)
    db.write(
        lambda c: c.execute(
            text(
                "UPDATE alembic_version SET version_num='journal_0099' "
                "WHERE version_num LIKE 'journal%'"
            )
        ).close()
    )
    db.close()
    with pytest.raises(DatabaseTooNew, match=r"journal_0099.*pip install -U tidemill") as caught:
        Database.open(url)
    assert isinstance(caught.value, Conflict)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tidemill.db"
    Database.open(url).close()
    before = (tmp_path / "tidemill.db").read_bytes()
    Database.open(url).close()
    assert (tmp_path / "tidemill.db").read_bytes() == before
