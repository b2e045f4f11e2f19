"""Brings a database's tables up to date. Each room is an Alembic branch with one file a change.

A new SQLite database is laid out at once, by the text to which all changes together lead: to import
Alembic and to make each change takes longer than all the rest of opening a home.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from tidemill.storage.db.errors import DatabaseNotOurs, DatabaseTooNew

VERSIONS = Path(__file__).parent / "versions"
LAYOUT = Path(__file__).parent / "sqlite.sql"
"""What `layout` says of a database that was made change by change. Where it is behind, the changes
that it lacks are made as always; a test says how it is renewed."""
_END = ";\n"
_REVISION = re.compile(r"(?P<room>[a-z]+)_(?P<number>\d{4})\.py")


def heads() -> set[str]:
    """Return the newest revision of every room, from the names of the files."""
    newest: dict[str, str] = {}
    for path in sorted(VERSIONS.glob("*.py")):
        match = _REVISION.fullmatch(path.name)
        if match:
            newest[match["room"]] = path.stem
    return set(newest.values())


def migrate(engine: Engine) -> None:
    """Upgrade to every room's newest revision.

    Alembic is imported only if there is something to do: opening a home that is up to date should
    cost no more than one small query.

    Raises:
        DatabaseTooNew: The database knows revisions that this Tidemill does not.
        DatabaseNotOurs: Another program keeps its tables there.
    """
    present = _present(engine)
    wanted = heads()
    if present == wanted:
        return
    _check_ours(engine, present)
    if not present and engine.dialect.name == "sqlite":
        present = _lay_out(engine)
        if present == wanted:
            return
    known = {path.stem for path in VERSIONS.glob("*.py")}
    unknown = sorted(present - known)
    if unknown:
        raise DatabaseTooNew(
            f"The home's database is at {', '.join(unknown)}, which this Tidemill does not know.",
            expected=f"at most {', '.join(sorted(wanted))}",
            hint="It was opened by a newer version: upgrade with `pip install -U tidemill`.",
        )
    upgrade(engine)


def layout(connection: Connection) -> str:
    """Return the statements that make a SQLite database as this one is, without its rows."""
    texts = connection.scalars(
        text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    ).all()
    revisions = connection.scalars(text("SELECT version_num FROM alembic_version ORDER BY 1"))
    made = [f"INSERT INTO alembic_version VALUES ('{name}')" for name in revisions]  # noqa: S608
    return "".join(f"{statement}{_END}" for statement in [*texts, *made])


def _lay_out(engine: Engine) -> set[str]:
    """Make an empty SQLite database as the layout says; return the revisions that it is at."""
    with engine.begin() as connection:
        for statement in LAYOUT.read_text("utf-8").split(_END):
            if statement:
                connection.exec_driver_sql(statement)
    return _present(engine)


def _present(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return set()
        return set(connection.scalars(text("SELECT version_num FROM alembic_version")))


def _check_ours(engine: Engine, present: set[str]) -> None:
    """Refuse a database with tables of others, which may have the names of ours."""
    tables = set(inspect(engine).get_table_names()) - {"alembic_version"}
    # Alembic is used by many: by the form of a revision's name we know ours, newer ones included.
    if not tables or (present and all(_REVISION.fullmatch(f"{name}.py") for name in present)):
        return
    some = ", ".join(sorted(tables)[:5])
    raise DatabaseNotOurs(
        f"The database {engine.url.render_as_string()} holds tables of another program: {some}.",
        expected="an empty database, or one that Tidemill has made",
        hint="Make one with `createdb NAME`, and name that.",
    )


def upgrade(engine: Engine) -> None:
    """Make every change that a database lacks, in one transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(VERSIONS.parent), version_locations=[str(VERSIONS)])

    def steps(revision: object, _context: MigrationContext) -> list[object]:
        return list(scripts._upgrade_revs("heads", revision))  # type: ignore[arg-type]

    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"fn": steps, "transactional_ddl": True}
        )
        with Operations.context(context):
            context.run_migrations()
