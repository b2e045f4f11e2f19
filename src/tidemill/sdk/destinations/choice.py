"""Chooses where runs go: a server that was named, the home, its owner, or the spool."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tidemill.sdk.errors import BadAddress, RunElsewhere

if TYPE_CHECKING:
    from tidemill.sdk.destinations.protocol import Destination

SPOOL = "spool"
_SECONDS = 2.0
"""How long a server may take to say that it is there."""


def choose(home: Path) -> Destination:
    """Return where runs go.

    `TIDEMILL_OFFLINE=1` means the spool. `TIDEMILL_TRACKING_URI` names a server; one that does not
    answer means the spool as well. Else it is the home: through its owner where another process
    has it open, and directly where nobody has. What was spooled before is uploaded first.

    Args:
        home: The home's folder.

    Raises:
        BadAddress: `TIDEMILL_TRACKING_URI` is no address of a server.
        RunElsewhere: Another thread of this process has the home open.
    """
    spool = home / SPOOL
    if os.environ.get("TIDEMILL_OFFLINE", "") not in {"", "0"}:
        return _spool(spool)
    named = os.environ.get("TIDEMILL_TRACKING_URI")
    if named:
        return _server(checked(named), spool)
    return _home(home, spool)


def reach(home: Path) -> Destination:
    """Return where spooled runs belong, which must be reachable.

    Args:
        home: The home's folder.

    Raises:
        BadAddress: `TIDEMILL_TRACKING_URI` is no address of a server.
        HomeOwned: Another process owns the home and answers nobody.
        Unreachable: The server that was named does not answer.
    """
    from tidemill.client.client import Unreachable
    from tidemill.sdk.destinations.home import HomeDestination
    from tidemill.sdk.destinations.server import ServerDestination
    from tidemill.storage.lock import read_owner

    named = os.environ.get("TIDEMILL_TRACKING_URI")
    owner = None if named else read_owner(home)
    address = checked(named) if named else None if owner is None else owner.address
    if address is None:
        from tidemill.home import Home

        return HomeDestination(Home.open(home))
    if not _answers(address):
        raise Unreachable(
            f"The server {address} does not answer.", hint="Is `tidemill up` running there?"
        )
    return ServerDestination(address)


def checked(address: str) -> str:
    """Return the address of a server.

    Raises:
        BadAddress: It is none.

    Example:
        >>> checked("http://127.0.0.1:8750/")
        'http://127.0.0.1:8750'
    """
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadAddress(
            f"TIDEMILL_TRACKING_URI is {address!r}.",
            expected="the address of a server, such as http://127.0.0.1:8750",
            hint="`tidemill up` prints it.",
        )
    return address.rstrip("/")


def _home(home: Path, spool: Path) -> Destination:
    from tidemill.home import Home
    from tidemill.sdk.destinations.home import HomeDestination
    from tidemill.storage.lock import HomeOwned, read_owner

    try:
        opened = HomeDestination(Home.open(home))
    except HomeOwned as error:
        owner = read_owner(home)
        if owner is not None and owner.pid == os.getpid():
            raise RunElsewhere(
                "A run is active in another thread or task of this process.",
                hint="Log through the handle that start_run() gave there: run.log_metrics(…).",
            ) from error
        if owner is None or owner.address is None:
            return _spool(spool, f"{error.what}")
        return _server(owner.address, spool)
    _catch_up(opened, spool)
    return opened


def _server(address: str, spool: Path) -> Destination:
    from tidemill.sdk.destinations.failover import FailoverDestination
    from tidemill.sdk.destinations.server import ServerDestination

    if not _answers(address):
        return _spool(spool, f"The server {address} does not answer.")
    server = ServerDestination(address)
    _catch_up(server, spool)
    return FailoverDestination(server, spool)


def _spool(folder: Path, why: str = "") -> Destination:
    from tidemill.sdk.destinations.spool import SpoolDestination

    if why:
        warnings.warn(
            f"{why} What is logged is kept in {folder}; `tidemill runs sync` uploads it later.",
            stacklevel=6,
        )
    return SpoolDestination(folder)


def _catch_up(destination: Destination, spool: Path) -> None:
    if spool.is_dir():
        from tidemill.sdk.destinations.upload import upload

        for run_id, reasons in upload(spool, destination).refused.items():
            warnings.warn(
                f"Of run {run_id}, logged offline, was refused: {' '.join(reasons)} "
                f"It is kept in {spool / 'refused' / run_id}.",
                stacklevel=6,
            )


def _answers(address: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{address}/health", timeout=_SECONDS).status_code == 200
    except httpx.HTTPError:
        return False
