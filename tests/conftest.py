"""Fixtures that every room's tests share."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.postgresql import Server, binaries

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database

# Hundreds of processes start: each would compile all that it imports where none may keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Nothing in a test depends on how fast the machine is, nor on what else it does.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def clock() -> SimulatedClock:
    """A clock that stands at the first of February 2013."""
    return SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))


@pytest.fixture
def ids(clock: SimulatedClock) -> Ids:
    """Ids that are the same in every run of the tests."""
    return Ids(clock, random.Random(0))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty, migrated database, to be copied: migrating takes a moment."""
    path = tmp_path_factory.mktemp("migrated") / "tidemill.db"
    Database.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running PostgreSQL; skipped only where it is not installed."""
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql/*/bin")
    with tempfile.TemporaryDirectory(prefix="tidemill-postgresql-") as name:
        server = Server(found, Path(name))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Server) -> str:
    """The name of an empty, migrated database, to be copied."""
    Database.open(postgres.make("mill_migrated")).close()
    return "mill_migrated"


@pytest.fixture(scope="session")
def model_environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where environments of models are built, each once for a whole run of the tests."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "model-environments"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what says `ON_BOTH_DATABASES = True` over both kinds of database."""
    if "fresh" in metafunc.fixturenames and getattr(metafunc.module, "ON_BOTH_DATABASES", False):
        metafunc.parametrize("fresh", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def fresh(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Make empty, migrated databases; SQLite's, unless the module asks for both kinds."""
    if getattr(request, "param", "sqlite") == "postgresql":
        server, like = (request.getfixturevalue(n) for n in ("postgres", "migrated_postgres"))
        return lambda: str(server.make(f"mill_{uuid.uuid4().hex}", like))
    migrated: Path = request.getfixturevalue("migrated")
    numbers = itertools.count()

    def make() -> str:
        number = next(numbers)
        path = tmp_path / (f"tidemill-{number}.db" if number else "tidemill.db")
        shutil.copyfile(migrated, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def db(fresh: Callable[[], str]) -> Iterator[Database]:
    """An empty, migrated database; SQLite's, unless the module asks for both kinds."""
    database = Database.open(fresh())
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """An empty blob store."""
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def journal(db: Database, clock: SimulatedClock, ids: Ids) -> Journal:
    """An empty journal."""
    return Journal(db, clock, ids)


@pytest.fixture
def lineage(db: Database, clock: SimulatedClock) -> Lineage:
    """An empty graph."""
    return Lineage(db, clock)
