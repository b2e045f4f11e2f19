"""A real PostgreSQL server for the tests that need one: `conftest` has it as a fixture."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

NOBODY = 65534
_PATIENCE = 100.0
GUARDED = "guarded"
"""A role that needs its password."""


class Server:
    """A PostgreSQL server of our own: a folder, a socket in it, and no network.

    The server refuses to run as root, so there it runs as nobody.
    """

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(folder, NOBODY, NOBODY)
        self._run("initdb", "-D", "data", "-U", "tidemill", "-A", "trust", "-N", "-E", "UTF8")
        rules = folder / "data" / "pg_hba.conf"
        # The first rule that fits counts: databases of this role ask for its password.
        rules.write_text(f"local all {GUARDED} scram-sha-256\n{rules.read_text()}")

    def url(self, database: str = "postgres") -> str:
        """The address of a database on it."""
        return f"postgresql+psycopg://tidemill@/{database}?host={self._folder}"

    def start(self) -> None:
        """Return when it answers."""
        # Tests end the server, never the machine's power: what it wrote is there without a sync.
        said = ("listen_addresses=", "unix_socket_directories=.", "fsync=off")
        settings = [word for setting in said for word in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", "data", *settings, "-k", self._folder],
                cwd=self._folder,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._ready():
                return
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self) -> None:
        """Stop it as a failing machine would: at once, closing nothing properly."""
        if self._process is not None:
            subprocess.run(
                [self._binaries / "pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w"],
                cwd=self._folder,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                check=True,
                capture_output=True,
            )
            self._process.wait(20)
            self._process = None

    def make(self, database: str, like: str = "template0") -> str:
        """Make an empty database, or a copy of another, and return its address."""
        where = ("-h", str(self._folder), "-U", "tidemill")
        self._run("createdb", *where, "-T", like, database)
        return self.url(database)

    def guard(self, database: str, password: str) -> str:
        """Make an empty database of a role with a password, and return its address without it."""
        where = ("-h", str(self._folder), "-U", "tidemill")
        known = f"SELECT FROM pg_roles WHERE rolname = '{GUARDED}'"
        made = f"IF NOT EXISTS ({known}) THEN CREATE ROLE {GUARDED} LOGIN; END IF;"
        for statement in (
            f"DO $$ BEGIN {made} END $$",
            f"ALTER ROLE {GUARDED} PASSWORD '{password}'",
        ):
            self._run("psql", *where, "-q", "-c", statement, "postgres")
        self._run("createdb", *where, "-T", "template0", "-O", GUARDED, database)
        return f"postgresql://{GUARDED}@/{database}?host={self._folder}"

    def _ready(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-t", "1", "-h", str(self._folder)]
        if subprocess.run(command, check=False).returncode == 0:
            return True
        assert self._process is not None
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        raise RuntimeError((self._folder / "log").read_text())

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._folder,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            check=True,
            capture_output=True,
        )


def binaries() -> Path | None:
    """Return where the server's programs are, or nothing where it is not installed."""
    in_path = shutil.which("initdb")
    if in_path is not None:
        return Path(in_path).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return debian[-1].parent if debian else None
