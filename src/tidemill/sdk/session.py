"""Reaches the home of a project: through its owner where one runs, else by opening it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidemill.client.client import HttpTransport, Transport, owner_address
from tidemill.core.errors import NotFound
from tidemill.home import DEFAULT, POLICY, Home
from tidemill.server.encoding import decode, encode
from tidemill.server.operations import Operations, call, changing, result_type
from tidemill.server.steps import steps_door


class NoHome(NotFound):
    """There is neither a home nor a project here."""


class LocalTransport:
    """Calls operations on a home that this process has opened.

    Args:
        home: The home.
    """

    def __init__(self, home: Home) -> None:
        self._operations = Operations(home)

    def call(self, name: str, arguments: dict[str, Any], *, post: bool) -> bytes:
        known = {k: v for k, v in arguments.items() if v is not None}
        return encode(call(self._operations, name, known, post=post))


class Session:
    """Operations by name, their results typed.

    Args:
        transport: Carries the calls.
        home: The home's folder.
    """

    def __init__(self, transport: Transport, home: Path) -> None:
        self._transport = transport
        self.home = home

    def ask(self, name: str, /, **arguments: Any) -> Any:
        """Call an operation and return its typed result.

        Raises:
            TidemillError: Whatever the operation raises.
        """
        # A list does not fit into an address.
        listed = any(isinstance(value, list) for value in arguments.values())
        content = self._transport.call(name, arguments, post=changing(name) or listed)
        return decode(content, result_type(name))


def find_home(folder: Path | None = None) -> Path:
    """Return the home to use: the one named, `TIDEMILL_HOME`, or the project's around this folder.

    Raises:
        NoHome: There is none.
    """
    if folder is not None:
        return folder.absolute()
    named = os.environ.get("TIDEMILL_HOME")
    if named:
        return Path(named).absolute()
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / POLICY).exists() or (place / DEFAULT / "home.json").exists():
            return place / DEFAULT
    raise NoHome(
        f"There is no project in {here} or above it.",
        expected=f"a folder with {POLICY}",
        hint="Make one with `tidemill init`, or name a home with --home.",
    )


@contextmanager
def open_session(folder: Path | None = None) -> Iterator[Session]:
    """Open a session with a home: through its owner where one runs, else by opening it.

    Raises:
        NoHome: There is none.
        HomeOwned: Another process owns it and answers nobody.
    """
    path = find_home(folder)
    address = owner_address(path)
    if address is not None:
        transport = HttpTransport(address)
        try:
            yield Session(transport, path)
        finally:
            transport.close()
        return
    inside = (path.parent / POLICY).exists()
    with Home.open(path, create=inside) as home, steps_door(home):
        yield Session(LocalTransport(home), path)
