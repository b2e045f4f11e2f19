"""Which database a home keeps its records in: named once, remembered, never the wrong one."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from tests.postgresql import Server

from tidemill.cli.entry import run
from tidemill.core.errors import Conflict
from tidemill.core.policy.errors import BadPolicy
from tidemill.home import Home
from tidemill.storage.db.errors import DatabaseNotOurs, DatabaseUnreachable
from tidemill.storage.homes.errors import (
    DatabaseOfAnotherHome,
    HomeTooNew,
    RecordsElsewhere,
    RecordsGone,
)


@pytest.fixture
def url(postgres: Server, migrated_postgres: str) -> str:
    return postgres.make(f"mill_{uuid.uuid4().hex}", migrated_postgres)


def write(home: Path, name: str, database: str | None = None) -> None:
    with Home.open(home, database=database) as opened:
        opened.tracking.experiment(name)


def experiments(home: Path) -> set[str]:
    with Home.open(home) as opened:
        return {e.name for e in opened.tracking.experiments()}


def forget(url: str) -> None:
    """Leave a database as one is that was made a moment ago, as far as homes are concerned."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM homes_identity"))
    engine.dispose()


def test_a_database_that_was_named_once_is_found_again(tmp_path: Path, url: str) -> None:
    write(tmp_path / "home", "kept", url)
    assert "kept" in experiments(tmp_path / "home")
    assert not (tmp_path / "home" / "tidemill.db").exists()


@pytest.mark.parametrize("where", ["variable", "file"])
def test_it_is_named_by_the_environment_or_the_project(
    tmp_path: Path, url: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "variable":
        monkeypatch.setenv("TIDEMILL_DATABASE", url)
    else:
        (tmp_path / "tidemill.toml").write_text(f'[settings]\ndatabase = "{url}"\n')
    write(tmp_path / ".tidemill", "kept")
    monkeypatch.delenv("TIDEMILL_DATABASE", raising=False)
    with Home.open(tmp_path / ".tidemill") as opened:
        assert opened.db.dialect == "postgresql"


def test_the_password_is_used_and_never_kept(
    tmp_path: Path,
    postgres: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = postgres.guard("guarded", "s3cret/#word")
    home = tmp_path / "home"
    write(home, "kept", bare.replace("guarded@", "guarded:s3cret%2F%23word@"))
    kept = [f for f in home.rglob("*") if f.is_file()]
    assert kept
    assert all(b"s3cret" not in file.read_bytes() for file in kept)
    assert json.loads((home / "home.json").read_bytes())["database"] == bare

    with pytest.raises(DatabaseUnreachable, match="password") as caught:
        Home.open(home)
    assert "PGPASSWORD" in str(caught.value.hint)
    assert run(["doctor", "--home", str(home)]) == 6
    assert "PGPASSWORD" in capsys.readouterr().out
    monkeypatch.setenv("PGPASSWORD", "s3cret/#word")
    assert "kept" in experiments(home)
    assert run(["doctor", "--home", str(home)]) == 0
    said = capsys.readouterr()
    assert bare in said.out
    assert "s3cret" not in said.out + said.err
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:guarded:guarded:s3cret/#word\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert "kept" in experiments(home)


def test_a_password_in_a_file_of_the_project_is_refused(tmp_path: Path) -> None:
    line = '[settings]\ndatabase = "postgresql://ada:secret@db/mill"\n'
    (tmp_path / "tidemill.toml").write_text(line)
    with pytest.raises(BadPolicy, match=r"tidemill.toml:2: settings.database has a pass") as caught:
        Home.open(tmp_path / ".tidemill")
    assert "secret" not in str(caught.value)
    assert "TIDEMILL_DATABASE" in str(caught.value)


def test_a_home_with_records_does_not_go_elsewhere(tmp_path: Path, url: str) -> None:
    write(tmp_path / "file", "kept")
    with pytest.raises(RecordsElsewhere, match=r"tidemill\.db.*tidemill export"):
        Home.open(tmp_path / "file", database=url)
    assert "kept" in experiments(tmp_path / "file")


def test_a_home_on_a_server_does_not_begin_anew_in_a_file_or_another_database(
    tmp_path: Path, url: str, postgres: Server, migrated_postgres: str
) -> None:
    write(tmp_path / "home", "kept", url)
    with pytest.raises(RecordsElsewhere, match="SQLite was asked for"):
        Home.open(tmp_path / "home", database="sqlite")
    empty = postgres.make(f"mill_{uuid.uuid4().hex}", migrated_postgres)
    with pytest.raises(RecordsElsewhere, match="which has none"):
        Home.open(tmp_path / "home", database=empty)
    assert "kept" in experiments(tmp_path / "home")


def test_a_database_that_has_moved_is_known_again(
    tmp_path: Path, url: str, postgres: Server
) -> None:
    write(tmp_path / "home", "kept", url)
    moved = postgres.make(f"mill_{uuid.uuid4().hex}", str(make_url(url).database))
    with Home.open(tmp_path / "home", database=moved) as opened:
        assert {"kept"} <= {e.name for e in opened.tracking.experiments()}
    assert json.loads((tmp_path / "home" / "home.json").read_bytes())["database"] in moved.replace(
        "+psycopg", ""
    )


def test_a_database_of_another_home_is_refused(tmp_path: Path, url: str) -> None:
    write(tmp_path / "one", "kept", url)
    with pytest.raises(DatabaseOfAnotherHome, match="createdb"):
        Home.open(tmp_path / "two", database=url)
    Home.open(tmp_path / "two", database="sqlite").close()


def test_a_home_that_was_killed_before_it_was_known_there_opens_again(
    tmp_path: Path, url: str
) -> None:
    write(tmp_path / "home", "kept", url)
    forget(url)
    file = tmp_path / "home" / "home.json"
    known = json.loads(file.read_bytes())
    assert known.pop("claimed") is True
    file.write_text(json.dumps(known))
    assert "kept" in experiments(tmp_path / "home")
    assert json.loads(file.read_bytes())["claimed"] is True
    with pytest.raises(DatabaseOfAnotherHome):
        Home.open(tmp_path / "two", database=url)


@pytest.mark.parametrize("named", [False, True])
def test_a_database_that_was_made_anew_is_not_taken_for_the_one_that_had_the_records(
    tmp_path: Path, url: str, named: bool
) -> None:
    write(tmp_path / "home", "kept", url)
    forget(url)
    before = (tmp_path / "home" / "home.json").read_bytes()
    with pytest.raises(RecordsGone, match=r"holds none of the records.*made anew.*pg_restore"):
        Home.open(tmp_path / "home", database=url if named else None)
    assert (tmp_path / "home" / "home.json").read_bytes() == before


@pytest.mark.parametrize("alembic", [False, True])
def test_a_database_of_another_program_is_refused(
    tmp_path: Path, postgres: Server, alembic: bool
) -> None:
    url = postgres.make(f"mill_{uuid.uuid4().hex}")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INT)"))
        if alembic:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('90e64c465722')"))
    with pytest.raises(DatabaseNotOurs, match=r"another program: orders.*createdb") as caught:
        Home.open(tmp_path / "home", database=url)
    assert isinstance(caught.value, Conflict)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('tracking_runs')")) is None
    engine.dispose()


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with closing(sqlite3.connect(tmp_path / "home" / "tidemill.db")) as raw:
        raw.execute("CREATE TABLE orders (id INT)")
    with pytest.raises(DatabaseNotOurs, match="orders"):
        Home.open(tmp_path / "home")


def test_one_that_is_not_there_is_not_remembered(tmp_path: Path, postgres: Server) -> None:
    missing = postgres.url("nowhere")
    with pytest.raises(DatabaseUnreachable, match="does not exist") as caught:
        Home.open(tmp_path / "home", database=missing)
    assert "createdb" in str(caught.value.hint)
    Home.open(tmp_path / "home").close()


def test_an_older_tidemill_would_refuse_a_home_it_cannot_find_the_records_of(
    tmp_path: Path, url: str
) -> None:
    write(tmp_path / "home", "kept", url)
    file = tmp_path / "home" / "home.json"
    assert json.loads(file.read_bytes())["format"] == 2
    write(tmp_path / "file", "kept")
    assert json.loads((tmp_path / "file" / "home.json").read_bytes())["format"] == 1
    file.write_text(json.dumps({"format": 3}))
    with pytest.raises(HomeTooNew, match="format 3"):
        Home.open(tmp_path / "home")


def test_settings_show_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMILL_DATABASE", "postgres://ada:secret@db:5432/mill")
    assert run(["config", "show", "--origin"]) == 0
    shown = capsys.readouterr().out
    assert "database\tpostgresql://ada@db:5432/mill\tTIDEMILL_DATABASE" in shown
    assert "secret" not in shown
    monkeypatch.setenv("TIDEMILL_DATABASE", "mysql://ada:secret@db/mill")
    assert run(["config", "show"]) == 2
    complaint = capsys.readouterr().err
    assert "mysql://ada@db/mill" in complaint
    assert "secret" not in complaint


def test_a_home_moves_from_a_file_to_a_server(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", "kept")
    assert run(["export", str(tmp_path / "out"), "--home", str(tmp_path / "file")]) == 0
    monkeypatch.setenv("TIDEMILL_DATABASE", url)
    assert run(["import", str(tmp_path / "out"), "--home", str(tmp_path / "new")]) == 0
    monkeypatch.delenv("TIDEMILL_DATABASE")
    assert "kept" in experiments(tmp_path / "new")
    assert not (tmp_path / "new" / "tidemill.db").exists()
