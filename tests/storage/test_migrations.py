"""The tables that migrations make are those that the rooms declare."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, text
from tests.storage.programs.layout import made_by_changes

import tidemill
from tidemill.core.errors import Conflict
from tidemill.storage.db import migration
from tidemill.storage.db.engine import Database
from tidemill.storage.db.errors import DatabaseTooNew
from tidemill.storage.db.migration import LAYOUT, VERSIONS, heads

ROOMS = sorted(path.parent.name for path in Path(tidemill.__file__).parent.rglob("store.py"))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings(
    "ignore:autogenerate skipping metadata-specified expression-based index"
)
def test_migrations_and_declarations_agree(db: Database, declared: MetaData) -> None:
    with db.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, declared) == []


def test_a_new_database_is_laid_out_as_the_changes_would_make_it(tmp_path: Path) -> None:
    made = made_by_changes(tmp_path / "made.db")
    renew = "renew it with: python -m tests.storage.programs.layout"
    assert LAYOUT.read_text("utf-8") == made, renew
    with closing(sqlite3.connect(tmp_path / "made.db")) as one:
        Database.open(f"sqlite:///{tmp_path}/new.db").close()
        with closing(sqlite3.connect(tmp_path / "new.db")) as other:
            assert sorted(other.iterdump()) == sorted(one.iterdump())
            pragma = "PRAGMA auto_vacuum"
            assert other.execute(pragma).fetchone() == one.execute(pragma).fetchone()


def test_a_layout_that_is_behind_is_followed_by_the_changes_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = tmp_path / "behind.sql"
    statements = LAYOUT.read_text("utf-8").split(";\n")
    kept = [statement for statement in statements if "webhooks" not in statement]
    behind.write_text(";\n".join(kept), "utf-8")
    monkeypatch.setattr(migration, "LAYOUT", behind)
    Database.open(f"sqlite:///{tmp_path}/new.db").close()
    with closing(sqlite3.connect(tmp_path / "new.db")) as new:
        assert {
            name for (name,) in new.execute("SELECT version_num FROM alembic_version")
        } == heads()
        assert new.execute(
            "SELECT COUNT(*) FROM sqlite_master WHERE name LIKE 'webhooks%'"
        ).fetchone()[0]


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
