"""What `tidemill doctor` looks at."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from tidemill import __version__
from tidemill.cli.output import size
from tidemill.core.errors import TidemillError

_LIBRARIES = ("polars", "scikit-learn", "onnxruntime", "skl2onnx", "sqlalchemy", "litestar")


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        name: What.
        passed: Whether it is as it should be.
        said: What was found.
    """

    name: str
    passed: bool
    said: str


def examine(home: Path | None, *, scrub: bool) -> list[Check]:
    """Look at the installation and at the home.

    Args:
        home: The home, where one was named.
        scrub: Whether every stored byte is read again.
    """
    return [*_installation(), *_home(home, scrub=scrub)]


def _installation() -> Iterator[Check]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", sys.version_info >= (3, 11), python)
    yield Check("tidemill", True, __version__)
    for name in _LIBRARIES:
        try:
            yield Check(name, True, version(name))
        except PackageNotFoundError:
            yield Check(name, False, "not installed")


def _home(named: Path | None, *, scrub: bool) -> Iterator[Check]:
    from tidemill.home import Home
    from tidemill.sdk.session import find_home
    from tidemill.storage.db.errors import StorageError
    from tidemill.storage.lock import read_owner

    try:
        path = find_home(named)
    except TidemillError as error:
        yield Check("home", True, f"none here ({error.what})")
        return
    yield _log(path, scrub=scrub)
    owner = read_owner(path)
    if owner is not None:
        yield Check("home", True, f"{path}, owned by process {owner.pid} at {owner.address}")
        yield Check("exposure", True, f"{owner.address}: loopback only, Host and Origin checked")
        yield Check("database", True, _kept_in(path))
        return
    yield Check("home", True, f"{path}, owned by nobody")
    if not path.exists():
        return
    free = shutil.disk_usage(path).free
    yield Check("disk", free > 1 << 30, f"{free >> 30} GiB free")
    try:
        with Home.open(path, create=False) as opened:
            yield Check("database", True, f"{_kept_in(path)}, {opened.journal.head():,} facts")
            yield Check("policy", True, f"{len(opened.policy.models)} models")
            if scrub:
                yield from _scrub(opened)
    except StorageError as error:
        yield Check("database", False, str(error))
    except TidemillError as error:
        yield Check("home", False, str(error))


def _kept_in(home: Path) -> str:
    from tidemill.storage.homes.records import read_record

    return read_record(home).database or "sqlite"


def _log(home: Path, *, scrub: bool) -> Check:
    from tidemill.predictions.scrubbing import examine as examined

    found = examined(home / "predictions", deep=scrub)
    said = f"{found.files:,} files, {size(found.bytes)}"
    if found.aside:
        said += f", {found.aside:,} damaged stretches set aside"
    if found.damaged:
        said += f", damaged: {' '.join(found.damaged[:5])}"
    return Check("prediction log", not found.aside and not found.damaged, said)


def _scrub(home: object) -> Iterator[Check]:
    from tidemill.home import Home
    from tidemill.storage.blobs.scrubbing import scrub

    assert isinstance(home, Home)
    found = scrub(home.blobs)
    some = "".join(f" {digest[:12]}" for digest in found.damaged[:5])
    said = f"{found.checked:,} blobs, {size(found.size)}, {len(found.damaged)} damaged{some}"
    yield Check("blobs", not found.damaged, said)
