"""The folder in which the workers of one port find each other: a socket and a state for each.

The path of a Unix socket may have no more than 107 characters, and homes lie where they lie; so
sockets are named through the open folder (`/proc/self/fd/N/NAME`), which is always short.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

SUFFIX = ".sock"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself, for its supervisor.

    Attributes:
        pid: Its process.
        port: Where it listens.
        generation: Of the route table that it serves.
        problems: Why an endpoint is not as the route table says, by name.
    """

    pid: int
    port: int
    generation: int
    problems: dict[str, str] = {}


def open_socket(folder: Path) -> socket.socket:
    """Return this worker's own socket in the folder."""
    name = f"{os.getpid()}{SUFFIX}"
    (folder / name).unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(folder, name) as path:
        opened.bind(path)
    return opened


def write_state(folder: Path, state: State) -> None:
    """Write down what this worker serves, atomically."""
    path = folder / f"{state.pid}.json"
    draft = path.with_suffix(".part")
    draft.write_bytes(msgspec.json.encode(state))
    draft.replace(path)


def read_state(folder: Path, pid: int) -> State | None:
    """Return what a worker has written down, or nothing."""
    try:
        return msgspec.json.decode((folder / f"{pid}.json").read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


def clear(folder: Path, pid: int) -> None:
    """Remove what a worker left, so that nobody asks it anything."""
    for suffix in (SUFFIX, ".json", ".part"):
        (folder / f"{pid}{suffix}").unlink(missing_ok=True)


def pids(folder: Path) -> list[int]:
    """Return the workers that have left a state or a socket, dead ones too."""
    found = {p.stem for p in (*folder.glob("*.json"), *folder.glob(f"*{SUFFIX}"))}
    return sorted(int(stem) for stem in found if stem.isdigit())


async def ask(folder: Path, pid: int, method: str, target: str) -> tuple[int, bytes] | None:
    """Ask another worker something over HTTP; nothing is the answer of one that has died."""
    try:
        with _short(folder, f"{pid}{SUFFIX}") as path:
            reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return None
    try:
        head = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\ntidemill-peer: 1\r\n"
        writer.write(f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
    except OSError:
        return None
    finally:
        writer.close()
    top, _, body = answer.partition(b"\r\n\r\n")
    return (int(top.split(b" ", 2)[1]), body) if top else None


async def ask_all(
    folder: Path, method: str, target: str, seconds: float
) -> list[tuple[int, bytes]]:
    """Ask every other worker, and return what those that live have answered.

    Raises:
        TimeoutError: One that lives has not answered within so many seconds.
    """
    others = [pid for pid in pids(folder) if pid != os.getpid()]
    async with asyncio.timeout(seconds):
        found = await asyncio.gather(*(ask(folder, pid, method, target) for pid in others))
    return [answer for answer in found if answer is not None]


def answers(folder: Path, pid: int, seconds: float) -> bool:
    """Tell whether a worker answers at all; one without a socket has not begun and is not asked."""
    if not (folder / f"{pid}{SUFFIX}").exists():
        return True
    try:
        with socket.socket(socket.AF_UNIX) as asking, _short(folder, f"{pid}{SUFFIX}") as path:
            asking.settimeout(seconds)
            asking.connect(path)
            asking.sendall(b"GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return bool(asking.recv(1))
    except OSError:
        return False


@contextmanager
def _short(folder: Path, name: str) -> Iterator[str]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
